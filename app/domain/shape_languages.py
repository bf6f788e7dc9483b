"""How tests look in the languages whose syntax is read: how they are declared, skipped and what asserts."""

import re
from typing import NamedTuple

_NOTHING = re.compile(r"(?!)")


class TestLanguage(NamedTuple):
    """A language, and the habits of its test runners. Patterns on callees see them without white space."""

    __test__ = False

    module: str
    """The package of its grammar."""
    calls: frozenset[str]
    """The nodes that are calls."""
    asserts: re.Pattern[str]
    """Callees that can fail a test."""
    skips: re.Pattern[str]
    """Callees that skip the test in which they are called."""
    declared: re.Pattern[str] = _NOTHING
    """A function's annotations, a line break and its name, where it is a test."""
    skip_marks: re.Pattern[str] = _NOTHING
    """Annotations of a function or class that skip it."""
    called: re.Pattern[str] = _NOTHING
    """Callees that make a test."""
    groups: re.Pattern[str] = _NOTHING
    """Callees that make a group of tests."""
    skip_callee: re.Pattern[str] = _NOTHING
    """Callees of tests and groups that are skipped, or that keep the others from running."""
    skip_options: re.Pattern[str] = _NOTHING
    """Arguments of such calls that do the same."""
    weak: re.Pattern[str] = _NOTHING
    """Callees, with the matchers that follow, that hold for nearly any value."""
    cases: re.Pattern[str] = _NOTHING
    """Annotations that give a test one set of values each."""
    function: str = "language"
    """Of the package, that gives the grammar."""


_JS = TestLanguage(
    module="tree_sitter_javascript",
    calls=frozenset({"call_expression"}),
    asserts=re.compile(
        r"^(?:expect(?:Type|TypeOf|\.poll|\.soft|\.element|\.fail|\.unreachable)?|assert\w{0,40}(?:\.\w{1,40}){0,3}|should(?:\.\w{1,40}){0,3})$|\.should(?:\.\w{1,40}){0,6}$"
        r"|^t\.(?:is|not|ok|notOk|true|false|truthy|falsy|deep\w{1,20}|not\w{1,20}|same|equal\w{0,10}|throws\w{0,10}|like|regex|match|pass|fail|error|snapshot|assert)$"
    ),
    weak=re.compile(
        r"\.(?:toBeTruthy|toBeDefined|toBeInstanceOf|toBeTypeOf|anything|exist|truthy|ok|toHaveBeenCalled|isOk)$"
        r"|\.not\.(?:toBe\w{0,20}|toEqual|toThrow\w{0,20})$|^assert$|^t\.(?:ok|truthy|pass|not)$"
    ),
    skips=re.compile(r"^(?:this|t|test|ctx|context)\.(?:skip|todo|fixme|fail)$"),
    called=re.compile(
        r"^\(?(?:[^()?]{1,80}\?)?(?:(?:QUnit|Deno|t|bench)\.)?[xf]?(?:it|test|specify|scenario)(?:\.(?!describe|step|before|after|use|extend)\w{1,20}){0,3}(?::|\)|$)"
    ),
    groups=re.compile(
        r"^\(?(?:[^()?]{1,80}\?)?[xf]?(?:describe|context|suite|test\.describe)(?:\.\w{1,20}){0,3}(?::|\)|$)"
    ),
    skip_callee=re.compile(
        r"\.(?:skip|skipIf|runIf|todo|only|fixme|fails|failing|if|ignore)\b|^\(?[xf](?:it|test|describe|context|specify|scenario)\b"
    ),
    skip_options=re.compile(r"\b(?:skip|todo|only|ignore)\s{0,4}:\s{0,4}(?!false)"),
)
_JAVA = TestLanguage(
    module="tree_sitter_java",
    calls=frozenset({"method_invocation"}),
    asserts=re.compile(
        r"(?:^|\.)(?:assert\w{0,60}|verify\w{0,40}|fail|expect\w{0,40}|then\w{0,20}|should\w{0,40}|(?:and)?Expect\w{0,20})$"
    ),
    weak=re.compile(
        r"(?:^|\.)(?:assertNotNull|assertTrue|assertNotEquals|assertDoesNotThrow|assertInstanceOf)$|\.isNot\w{1,20}$|\.isInstanceOf$"
    ),
    cases=re.compile(r"@(?:CsvSource|ValueSource|MethodSource|EnumSource)\b|\"[^\"\n]{0,200}\"\s{0,20}[,}]"),
    skips=re.compile(r"(?:^|\.)(?:assume\w{0,40}|abort)$"),
    declared=re.compile(
        r"@(?:\w{1,80}\.){0,9}(?:Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Property)\b|\ntest\w{0,200}$"
    ),
    skip_marks=re.compile(
        r"@(?:\w{1,80}\.){0,9}(?:Disabled\w{0,60}|Ignore\w{0,20}|EnabledIf\w{0,60})\b|\benabled\s{0,4}=\s{0,4}false"
    ),
)
_KOTLIN = _JAVA._replace(
    module="tree_sitter_kotlin",
    calls=frozenset({"call_expression"}),
    called=re.compile(r"^(?:x|f:)?(?:test|it|should|expect|scenario|then|Then)$"),
    groups=re.compile(r"^x?(?:describe|context|given|when|Given|When|feature)$"),
    skip_callee=re.compile(r"^x(?:test|it|should|expect|scenario|describe|context|given)$|^f:|\.config$"),
)
_CSHARP = TestLanguage(
    module="tree_sitter_c_sharp",
    calls=frozenset({"invocation_expression"}),
    asserts=re.compile(
        r"(?:^|\.)(?:Assert|\w{0,20}Assert)\.\w{1,60}$|\.Should\w{0,60}$|(?:^|\.)(?:Verify\w{0,40}|Expect\w{0,40})$"
    ),
    weak=re.compile(r"\.(?:NotNull|IsNotNull|True|IsTrue|NotEqual|IsInstanceOf|IsType|NotEmpty)$"),
    cases=re.compile(r"\b(?:InlineData|TestCase|DataRow)\s{0,4}\("),
    skips=re.compile(r"^(?:Assert\.(?:Ignore|Inconclusive|Skip\w{0,20}|Pass)|Skip\.\w{1,20}|Assume\.\w{1,20})$"),
    declared=re.compile(
        r"\b(?:Fact|Theory|Test|TestMethod|TestCase|TestCaseSource|DataTestMethod|SkippableFact|Property)(?:Attribute)?\s{0,4}[\](,]"
    ),
    skip_marks=re.compile(r"\b(?:Skip\s{0,4}=|Ignore(?:Attribute)?\s{0,4}[\](,]|Explicit\s{0,4}[\](,])"),
)
_GO = TestLanguage(
    module="tree_sitter_go",
    calls=frozenset({"call_expression"}),
    asserts=re.compile(
        r"^(?:t|b|tb|f|s\.T\(\)|suite)\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)$|^(?:assert|require|is|qt|suite|s|check|cmp|must)\.\w{1,60}$"
        r"|^(?:assert|require|check|must|expect)\w{0,60}$|^(?:Expect|Ω|Eventually|Consistently)$|\.(?:Assert|Require)\(\)\.\w{1,60}$"
    ),
    weak=re.compile(r"\.(?:NotNil|True|NoError|NotEmpty|NotEqual|NotPanics|IsType)$"),
    skips=re.compile(r"^(?:t|b|tb|f|s\.T\(\))\.Skip(?:f|Now)?$|^Skip$"),
    declared=re.compile(r"\n(?:Test|Fuzz|Benchmark|Example)\w{0,200}$"),
    called=re.compile(r"^(?:(?:t|b|tb|s)\.Run|[PXF]?(?:It|Specify))$"),
    groups=re.compile(r"^[PXF]?(?:Describe|Context|When)$"),
    skip_callee=re.compile(r"^[PXF](?:It|Specify|Describe|Context|When)$"),
)
_RUST = TestLanguage(
    module="tree_sitter_rust",
    calls=frozenset({"macro_invocation", "call_expression"}),
    asserts=re.compile(r"(?:^|::|\.)(?:debug_)?(?:assert\w{0,60}|prop_assert\w{0,20}|panic|insta::assert\w{0,40})!?$"),
    weak=re.compile(r"(?:^|::)(?:debug_)?(?:assert|assert_ne)$"),
    cases=re.compile(r"#\[(?:case|test_case)\b"),
    skips=_NOTHING,
    declared=re.compile(r"#\[(?:\w{1,60}::){0,4}(?:test|rstest|test_case|quickcheck|wasm_bindgen_test|proptest)\b"),
    skip_marks=re.compile(r"#\[(?:ignore|should_panic)\b|#\[cfg\((?!test\)|all\(test)|#\[cfg_attr\([^\n]{0,200}ignore"),
)
_RUBY = TestLanguage(
    module="tree_sitter_ruby",
    calls=frozenset({"call"}),
    asserts=re.compile(
        r"^(?:expect|assert\w{0,60}|refute\w{0,60}|flunk|is_expected|should\w{0,20})$|\.(?:must|wont|should)\w{0,40}$|^is_expected\."
    ),
    weak=re.compile(
        r"\.(?:be_truthy|be_present|be_a\w{0,20}|exist)\b|\bbe_(?:truthy|present|a)\b|not_to|^(?:assert|refute_nil|refute_equal)$"
    ),
    skips=re.compile(r"^(?:skip|pending|omit)$"),
    declared=re.compile(r"\ntest_\w{0,200}$"),
    called=re.compile(r"^[xf]?(?:it|specify|example|scenario|test|its)$|^(?:focus|pending|skip)$"),
    groups=re.compile(r"^(?:RSpec\.)?[xf]?(?:describe|context|feature|shared_examples\w{0,20})$"),
    skip_callee=re.compile(r"^[xf](?:it|specify|example|scenario|describe|context|feature)$|^(?:focus|pending|skip)$"),
    skip_options=re.compile(r"^:(?:skip|pending|focus)$|\b(?:skip|pending|focus):\s{0,4}(?!false)"),
)
_PHP = TestLanguage(
    module="tree_sitter_php",
    function="language_php",
    calls=frozenset({"member_call_expression", "scoped_call_expression", "function_call_expression"}),
    asserts=re.compile(r"(?:->|::|^)(?:assert\w{0,60}|expect\w{0,60}|fail|should\w{0,40})$"),
    weak=re.compile(
        r"(?:->|::)(?:assertNotNull|assertTrue|assertNotEquals|assertNotSame|assertInstanceOf|assertNotEmpty)$"
    ),
    skips=re.compile(r"(?:->|::)(?:markTestSkipped|markTestIncomplete)$"),
    declared=re.compile(r"\ntest\w{0,200}$|#\[(?:\\?\w{1,80}\\){0,9}Test\b|@test\b"),
    skip_marks=re.compile(
        r"@(?:group\s{1,4}(?:skip|ignore)|doesNotPerformAssertions)|#\[[^\n]{0,100}(?:RequiresPhp|DoesNotPerformAssertions)"
    ),
    called=re.compile(r"^(?:it|test)$"),
    groups=re.compile(r"^describe$"),
    skip_callee=re.compile(r"^\.(?:skip|todo|only|skipOn\w{1,20})$"),
)
_TS = _JS._replace(module="tree_sitter_typescript", function="language_typescript")
_BY_ENDING = {
    **dict.fromkeys(("js", "jsx", "mjs", "cjs", "es6"), _JS),
    **dict.fromkeys(("ts", "mts", "cts"), _TS),
    "tsx": _TS._replace(function="language_tsx"),
    "java": _JAVA,
    **dict.fromkeys(("kt", "kts"), _KOTLIN),
    "cs": _CSHARP,
    "go": _GO,
    "rs": _RUST,
    "rb": _RUBY,
    "php": _PHP,
}


def language_of(path: str) -> TestLanguage | None:
    """The language of a file, by the ending of its name."""
    return _BY_ENDING.get(path.rpartition(".")[2].lower())
