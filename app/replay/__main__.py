"""`python -m app.replay FILE --port N`: play a recording until interrupted."""

import argparse
from pathlib import Path

from app.replay.model_server import ModelServer
from app.replay.recording import load_recordings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m app.replay", description="Play recorded model answers.")
    parser.add_argument("file", type=Path, help="recordings by repository, as YAML")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: a free one)")
    options = parser.parse_args()
    server = ModelServer(load_recordings(options.file), port=options.port)
    server.start()
    print(f"Recorded answers, no model: {server.url}", flush=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
