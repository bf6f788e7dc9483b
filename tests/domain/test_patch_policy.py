"""What judges, governs or escapes the repository is never changed by a run."""

import posixpath

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.domain.findings import Finding, Severity, Source
from app.domain.patch import ChangeKind, FileChange, MergeConflict, Patch
from app.domain.patch_policy import check_conflicts, check_patch, protected, violates_policy
from app.domain.plan import BuilderMode, PlannedPhase
from app.domain.ruleset import PatchRules

RULES = PatchRules(max_files=5, max_lines=100, max_file_bytes=1000)


def phase(mode: BuilderMode = BuilderMode.COMPOSE) -> PlannedPhase:
    return PlannedPhase(phase_id="P1", tier_id="T1", phase_index=0, name="Step", builder_mode=mode)


def change(path: str, content: bytes | None = b"x\n", mode: str = "100644") -> FileChange:
    kind = ChangeKind.DELETED if content is None else ChangeKind.MODIFIED
    return FileChange(path=path, kind=kind, mode=mode, content=content)


def patch(*changes: FileChange, added: int = 1, removed: int = 0) -> Patch:
    return Patch(base_sha="a" * 40, diff="", changes=changes, lines_added=added, lines_removed=removed)


def judged(*changes: FileChange, rules: PatchRules = RULES) -> tuple[Finding, ...]:
    return check_patch(patch(*changes), phase(), rules)


def problems(found: tuple[Finding, ...]) -> list[str]:
    return [finding.issue_key.split("__")[2] for finding in found]


# Paths


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".github/workflows/deep/er/ci.yml",
        ".GitHub/Workflows/CI.yml",
        ".github/workflows",
        ".github/actions/setup/action.yml",
        ".github/autopack.yml",
        ".github/CODEOWNERS",
        "CODEOWNERS",
        "docs/codeowners",
        "deep/in/CODEOWNERS",
        ".gitmodules",
        "vendor/.gitmodules",
        ".gitattributes",
        "src/.GITATTRIBUTES",
    ],
)
def test_what_judges_or_governs_a_run_is_protected(path: str) -> None:
    assert protected(path)
    found = judged(change(path))
    assert problems(found) == ["protected"]
    assert found[0].path == path
    assert violates_policy(found)


def test_deleting_a_protected_file_is_changing_it() -> None:
    assert problems(judged(change(".github/workflows/ci.yml", None))) == ["protected"]


@pytest.mark.parametrize(
    "path",
    [
        "src/app.py",
        ".github/ISSUE_TEMPLATE/bug.md",
        ".github/dependabot.yml",
        "github/workflows/ci.yml",
        "src/.github/workflows/ci.yml",
        "docs/CODEOWNERS.md",
        "my.gitmodules",
        ".gitignore",
        "ünïcode/日本.txt",
        "a b/c d",
        "...",
        "..a/b..",
    ],
)
def test_usual_files_are_not(path: str) -> None:
    assert protected(path) is None
    assert judged(change(path)) == ()


@pytest.mark.parametrize(
    ("glob", "inside", "beside"),
    [
        ("migrations/**", ["migrations/1.sql", "migrations/a/2.sql"], ["src/migrations/1.sql", "migrations.md"]),
        ("*.lock", ["uv.lock", "a/b/c.lock"], ["uv.lock.md"]),
        ("src/*.py", ["src/a.py"], ["src/b/a.py", "src/a.pyi", "a.py"]),
        ("src/**/gen?.py", ["src/gen1.py", "src/a/b/gen2.py"], ["src/gen.py", "src/gen12.py"]),
        ("/Makefile", ["Makefile"], ["sub/Makefile"]),
        ("secrets/", ["secrets/a", "x/secrets/b/c"], ["secrets.py"]),
        ("infra/prod/", ["infra/prod/a/b"], ["x/infra/prod/a"]),
        ("a[b]+(c).txt", ["a[b]+(c).txt"], ["ab.txt", "abbc.txt"]),
        ("Dockerfile", ["dockerfile", "sub/DOCKERFILE"], ["Dockerfile.dev"]),
        ("**", ["anything", "at/all"], []),
    ],
)
def test_a_repository_protects_more_by_globs(glob: str, inside: list[str], beside: list[str]) -> None:
    for path in inside:
        assert protected(path, [glob]) == glob
    for path in beside:
        assert protected(path, [glob]) is None


def test_the_refusal_names_the_glob() -> None:
    (found,) = judged(change("db/schema.sql"), rules=PatchRules(protected_paths=("db/**",)))
    assert "`db/**`" in found.problem


OUTSIDE = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/../b",
    "..",
    ".",
    "./a",
    "a//b",
    "a/",
    "C:/x",
    "c:x",
    "a\\..\\b",
    "\\\\host\\share",
    "a\nb",
    "a\x00b",
    "\x1b[2J",
    ".git/config",
    ".GIT/hooks/pre-commit",
    "sub/.git/config",
    ".git",
    ".git./config",
    ".git /config",
    ".git . ./config",
    "git~1/config",
    "GIT~1",
    ".git::$INDEX_ALLOCATION/config",
    ".g\u200cit/config",
    "\ufeff.git/config",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_path_outside_the_worktree_is_refused(path: str) -> None:
    found = judged(change(path))
    assert problems(found) == ["outside_repository"]
    assert violates_policy(found)


parts = st.sampled_from(["a", "..", ".", "", ".git", ".Git", "b.py", "...", "git~1", "..\\x"])


@given(st.lists(parts, min_size=1, max_size=6).map("/".join))
@example("a/b/../../../etc")
def test_any_path_that_normalises_elsewhere_is_refused(path: str) -> None:
    plain = posixpath.normpath(path)
    if plain != path or plain.startswith(("/", "..")) or ".git" in plain.casefold().split("/"):
        assume(not plain.startswith("..."))
        assert violates_policy(judged(change(path)))


@given(st.text(alphabet="ab./\\:\0\n\u200d ~git1", min_size=1, max_size=14))
def test_what_passes_stays_below_the_root(path: str) -> None:
    if not violates_policy(judged(change(path))):
        landing = posixpath.normpath(posixpath.join("/repository", path))
        assert landing == f"/repository/{path}"
        assert "\\" not in path
        assert not any(part.lower().strip("\u200d. ") == "git" for part in path.split("/") if part.startswith("."))


# Symlinks


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", "/etc/passwd"),
        ("link", ".."),
        ("link", "../x"),
        ("a/link", "../../x"),
        ("a/b/link", "../../../etc"),
        ("link", "a/../../x"),
        ("link", ".git/config"),
        ("a/link", "../.GIT/hooks"),
        ("link", "sub/.git/config"),
        ("link", "C:\\x"),
        ("link", "a\0b"),
        # Where `d` is a link to a folder further up, this leads outside.
        ("a/b/link", "d/../../x"),
        ("a/b/link", "d/./../../x"),
        ("a/b/link", ".d/.."),
    ],
)
def test_a_symlink_that_leaves_the_repository_is_refused(path: str, target: str) -> None:
    found = judged(change(path, target.encode(), "120000"))
    assert problems(found) == ["symlink_escape"]
    assert violates_policy(found)


@pytest.mark.parametrize(
    ("path", "target"),
    [("link", "a/b"), ("a/link", "../b"), ("a/b/link", "../../c"), ("link", "./a"), ("a/l", "./../b")],
)
def test_a_symlink_within_the_repository_may_stay(path: str, target: str) -> None:
    assert judged(change(path, target.encode(), "120000")) == ()


def test_file_with_path_text_is_no_symlink() -> None:
    assert judged(change("notes.txt", b"/etc/passwd")) == ()


def test_symlink_cannot_replace_the_workflows() -> None:
    assert problems(judged(change(".github/workflows", b"../ci", "120000"))) == ["protected"]


@given(st.lists(st.sampled_from(["a", "..", "."]), max_size=3), st.lists(st.sampled_from(["a", "..", "."]), max_size=6))
def test_no_target_leads_above_the_root(folder: list[str], steps: list[str]) -> None:
    below = [part for part in folder if part == "a"]
    path, target = "/".join([*below, "link"]), "/".join(steps) or "a"
    landing = posixpath.normpath(posixpath.join("/".join(below), target))
    if landing == ".." or landing.startswith("../"):
        assert problems(judged(change(path, target.encode(), "120000"))) == ["symlink_escape"]


# Sizes and shape


def test_empty_attempt_is_no_violation() -> None:
    found = judged()
    assert problems(found) == ["empty"]
    assert not violates_policy(found)


def test_size_caps_hold_exactly() -> None:
    files = [change(f"f{number}", b"x" * 1000) for number in range(6)]
    assert check_patch(patch(*files[:5], added=60, removed=40), phase(), RULES) == ()
    assert problems(check_patch(patch(*files), phase(), RULES)) == ["too_many_files"]
    assert problems(check_patch(patch(files[0], added=60, removed=41), phase(), RULES)) == ["too_many_lines"]
    large = judged(change("big", b"x" * 1001))
    assert problems(large) == ["too_large"]
    assert "1,001 bytes" in large[0].problem


def test_large_patch_is_no_violation() -> None:
    found = check_patch(patch(*[change(f"f{n}", b"x" * 2000) for n in range(6)], added=200), phase(), RULES)
    assert set(problems(found)) == {"too_large", "too_many_files", "too_many_lines"}
    assert not violates_policy(found)


def test_deleting_a_large_file_is_fine() -> None:
    assert judged(change("big", None)) == ()


def test_tweak_light_is_two_files() -> None:
    three = [change(f"f{number}") for number in range(3)]
    assert check_patch(patch(*three[:2]), phase(BuilderMode.TWEAK_LIGHT), RULES) == ()
    assert problems(check_patch(patch(*three), phase(BuilderMode.TWEAK_LIGHT), RULES)) == ["beyond_mode"]
    assert check_patch(patch(*three), phase(BuilderMode.REFACTOR_HEAVY), RULES) == ()


def test_every_refusal_is_a_major_finding() -> None:
    found = check_patch(patch(change("/abs"), change("CODEOWNERS"), change("ok.py"), added=500), phase(), RULES)
    assert problems(found) == ["outside_repository", "protected", "too_many_lines"]
    assert {(one.severity, one.source) for one in found} == {(Severity.MAJOR, Source.STATIC_CHECK)}
    assert [one.path for one in found] == ["/abs", "CODEOWNERS", None]


# Merge conflicts

CONFLICT = b"a\n<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\nd\n"


def test_solved_or_deleted_conflict_is_gone() -> None:
    solved = patch(change("a.py", b"a\nbc\nd\n"), change("b.py", None))
    assert check_conflicts(solved, [MergeConflict(path="a.py"), MergeConflict(path="b.py")]) == ()


def test_remaining_conflict_is_found() -> None:
    found = check_conflicts(
        patch(change("a.py", CONFLICT), change("c.py")), [MergeConflict(path="a.py"), MergeConflict(path="b.py")]
    )
    assert [one.path for one in found] == ["a.py", "b.py"]
    assert problems(found) == ["unsolved_conflict", "unsolved_conflict"]


@pytest.mark.parametrize(
    "left", [b"<<<<<<< ours\n", b"x\n>>>>>>> theirs\n", b"<<<<<<<\n", b">>>>>>>", b"a\r\n>>>>>>>\r\n"]
)
def test_half_a_marker_is_a_conflict(left: bytes) -> None:
    assert len(check_conflicts(patch(change("a.py", left)), [MergeConflict(path="a.py")])) == 1


@pytest.mark.parametrize("text", [b"Title\n=======\n", b"x = '<<<<<<< ours'\n", b"<<<<<<<<<< deep\n", b" >>>>>>> q\n"])
def test_what_only_looks_like_one_is_none(text: bytes) -> None:
    assert check_conflicts(patch(change("a.py", text)), [MergeConflict(path="a.py")]) == ()


def test_conflict_without_markers_may_stay_as_merged() -> None:
    kept = Patch(base_sha="0" * 40, diff="", changes=())
    assert check_conflicts(kept, [MergeConflict(path="a.py", kind="modify/delete", marked=False)]) == ()
    assert [one.path for one in check_conflicts(kept, [MergeConflict(path="a.py")])] == ["a.py"]
