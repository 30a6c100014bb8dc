"""The page about wrappers: what it shows is run."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from environments import ROOT
from following import blocks
from indiaai_core import Platform, Task, Worker
from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment
from indiaai_core.fastapi import Queue, Storage, install

PAGE = list(blocks((ROOT / "docs" / "how-to" / "wrap-a-service.md").read_text("utf-8")))
EXPORTS = next(block.text for block in PAGE if block.kind == "sh").removeprefix("export ").split()
TENANTS, AUDIT, AUDIT_SETTINGS = (block.text for block in PAGE if block.kind == "python")


@pytest.fixture
def platform(tmp_path: Any) -> Platform:
    """The embedded backends, behind the wrappers that the page's variables name."""
    variables = dict(line.split("=", 1) for line in EXPORTS)
    return Platform({"STORAGE_TYPE": "local", "LOCAL_STORAGE_PATH": tmp_path, "QUEUE_TYPE": "memory", **variables})


def defined(source: str) -> dict[str, Any]:
    """Run a block, and return what it defines."""
    names: dict[str, Any] = {}
    exec(compile(source, "wrap-a-service.md", "exec"), names)  # noqa: S102 - our own page
    return names


def test_the_page_s_variables_put_the_wrappers_in_front(platform: Platform) -> None:
    """An application behind them works, and its requests and tasks are counted."""
    app, worked = FastAPI(), list[dict[str, Any]]()
    worker = Worker()
    install(app, platform=platform, worker=worker)

    @worker.task("process")
    async def process(task: Task) -> None:
        worked.append(task.data)

    @app.post("/documents")
    async def take(storage: Storage, queue: Queue) -> str:
        await storage.upload("बिल", b"content")
        return await queue.enqueue("process", {"key": "बिल"})

    with TestClient(app) as client:
        assert client.post("/documents").status_code == 200
        answer = client.get("/metrics").text

    assert worked == [{"key": "बिल"}]
    assert 'indiaai_operation_seconds_count{error="",instance="default",layer="storage",operation="upload"}' in answer
    assert 'indiaai_queue_tasks{queue="default",state="dead"} 0.0' in answer


def test_the_page_s_dependency_keeps_tenants_apart(platform: Platform) -> None:
    """Each request sees the objects of the tenant that it names."""
    tenant_storage = defined(TENANTS)["tenant_storage"]
    app = FastAPI()
    install(app, platform=platform)

    @app.put("/bill", dependencies=[Depends(tenant_storage)])
    async def put(storage: Storage) -> list[str]:
        await storage.upload("bill", b"content")
        return [info.key async for info in storage.list()]

    @app.get("/all")
    async def everything(storage: Storage) -> list[str]:
        return [info.key async for info in storage.list()]

    with TestClient(app) as client:
        mine = [client.put("/bill", headers={"X-Tenant": tenant}).json() for tenant in ("asha", "bala")]
        hostile = client.put("/bill", headers={"X-Tenant": "../bala"})
        found = client.get("/all").json()

    assert mine == [["bill"], ["bill"]]
    assert hostile.status_code == 400
    assert found == ["tenants/asha/bill", "tenants/bala/bill"]


@pytest.mark.anyio
async def test_the_page_s_own_wrapper_wraps(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    """What it writes into the log is what was called."""
    caplog.set_level(logging.INFO, "acme.audit")
    async with platform:
        inner = platform.get_service("storage")
        audited = defined(AUDIT)["audit"](inner, layer=find_layer("storage"), environment={})

        await audited.upload("bill", b"content")

    assert caplog.messages == ["storage.upload('bill', b'content')"]


def test_the_page_s_settings_are_a_layer_s_own() -> None:
    """What the class is read from has the layer's name."""
    settings_class = defined(AUDIT_SETTINGS)["AuditSettings"]
    environment = Environment({"STORAGE_AUDIT_LEVEL": "DEBUG"}, {})

    levels = {name: settings_class.of(find_layer(name), environment).level for name in ("storage", "queue")}

    assert levels == {"storage": "DEBUG", "queue": "INFO"}
