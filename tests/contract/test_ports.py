"""Each composition root gives its handler the ports that it asks for."""

import asyncio
from importlib import import_module
from pathlib import Path

import pytest

from shared.function import Function
from shared.settings import StoreSettings
from tests.support.servers import free_port, nats_server


@pytest.mark.parametrize("name", ["split", "transcribe", "merge", "summarize", "persist"])
def test_a_function_is_composed_as_its_handler_asks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler: Function[...] = getattr(import_module(f"functions.{name}.handler"), name)

    async def composed() -> None:
        main = import_module(f"functions.{name}.main")
        monkeypatch.setattr(main, "stores", StoreSettings())  # another test may have imported it
        async with main.compose() as parts:
            handler.check_ports(parts.ports)

    with nats_server(tmp_path) as server:
        monkeypatch.setenv("NATS_URL", server.url)
        monkeypatch.setenv("BLOBS_URL", tmp_path.as_uri())
        monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/none")
        monkeypatch.setenv("RECOGNIZER", "sphinx")
        asyncio.run(composed())


def test_a_port_that_is_missing_or_unknown_is_named() -> None:
    handler: Function[...] = import_module("functions.merge.handler").merge
    with pytest.raises(TypeError, match=r"missing ports \['blobs'\], unknown ports \['blob'\]"):
        handler.check_ports({"blob": None})
