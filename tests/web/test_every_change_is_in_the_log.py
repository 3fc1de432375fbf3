"""Whatever changes the box is in the log with who did it: each way of changing something is walked, and none may be forgotten.

A new address, socket, command, admin page or action fails here until it stands in one of the tables.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import ModelAdmin
from django.contrib.auth.models import Group, User
from django.core.management import call_command, get_commands
from django.test import AsyncClient, Client
from django.urls import URLPattern, get_resolver, reverse

from hostui.accounts.models import ApiKey, Invitation
from hostui.routing import websocket_urlpatterns
from models_app import audit, jobs
from models_app.audit import THE_BOX
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.intake.part import QUARANTINE
from models_app.models import HardwareProfile, HubToken, Job, Variant
from tests.gguf_builder import SHAPES, build
from tests.hub import HubServer
from tests.web.fake_host import FakeHost

TOKEN = "hf_0123456789secret"
PASSWORD = "a long and odd 1 enough"
REMOTE = "owner/Tiny-GGUF"
ADDRESS = ["owner", "Tiny-GGUF"]


@dataclass(slots=True)
class Cast:
    owner: User
    client: Client
    here: HardwareProfile
    tiny: Variant
    folder: Path
    """Where the box keeps its models."""
    elsewhere: Path
    hub: HubServer

    def post(self, name: str, /, *parts: Any, **form: Any) -> Any:
        answer = self.client.post(reverse(name, args=parts), form)
        assert answer.status_code < 400, (name, answer.status_code)
        return answer

    def job(self, **fields: Any) -> Job:
        return Job.objects.create(kind="verify", title="Verify it", variant=self.tiny, **fields)


@pytest.fixture
def cast(hub: HubServer, tmp_path: Path, settings: Any, transactional_db: None) -> Cast:
    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "no-host.sock")
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    settings.HUB_ENDPOINT, settings.HUB_TOKEN = hub.endpoint, None
    settings.DISK_RESERVE_BYTES = 0
    for name in ("models", "elsewhere", "remote"):
        (tmp_path / name).mkdir()
    remote = build(tmp_path / "remote" / "Tiny-Q4_0.gguf", SHAPES["tiny-gqa"], body="random")
    hub.add(REMOTE, {remote.name: remote})
    hub.users[TOKEN] = "friend"
    here = HardwareProfile.objects.create(name="here", is_this_machine=True, ram_bytes=64 * GIB, n_cores=8)
    tiny = add_model(build(tmp_path / "models" / "tiny.gguf", SHAPES["tiny-gqa"], quantization="F16")).variant
    owner = User.objects.create_superuser("owner")
    client = Client()
    client.force_login(owner, backend="hostui.accounts.throttle.ThrottledModelBackend")
    return Cast(owner, client, here, tiny, tmp_path / "models", tmp_path / "elsewhere", hub)


# pages --------------------------------------------------------------------------------------------------------


def claims(cast: Cast) -> None:
    _invitation, token = Invitation.issue(is_superuser=False)
    form = {"username": "newcomer", "password1": PASSWORD, "password2": PASSWORD}
    assert Client().post(reverse("claim", args=[token]), form).status_code == 302


def saves_a_variant(cast: Cast) -> None:
    form = cast.client.get(reverse("model", args=[cast.tiny.name])).context["form"]
    sent = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    cast.post("model", cast.tiny.name, **{**sent, "name": "renamed"})


def uploads(cast: Cast) -> int:
    offer = [{"name": "mine.gguf", "size_bytes": 10}]
    answer = cast.client.post(reverse("upload-begin"), offer, content_type="application/json")
    return int(answer.json()["id"])


def imports(cast: Cast) -> None:
    path = build(cast.elsewhere / "found.gguf", SHAPES["tiny-gqa"])
    cast.post("model-add", path=str(path), how="in_place")


def downloads(cast: Cast) -> None:
    revision = cast.client.get(reverse("hub-repository", args=ADDRESS)).context["repository"].revision
    cast.post("hub-download", *ADDRESS, revision=revision, key="Tiny-Q4_0.gguf")
    assert Job.objects.filter(kind="download").exists()


def quarantined(cast: Cast) -> str:
    (cast.folder / QUARANTINE).mkdir()
    (cast.folder / QUARANTINE / "bad.gguf.part").write_bytes(b"bad")
    return "bad.gguf.part"


def adds_a_machine(cast: Cast) -> None:
    cast.post("hardware-add", name="another", ram="16GiB", n_cores="4")


def another_machine(cast: Cast) -> HardwareProfile:
    return HardwareProfile.objects.create(name="another", ram_bytes=GIB)


PAGES: dict[str, tuple[Callable[[Cast], Any], str]] = {
    "claim": (claims, "Account made, by an invitation"),
    "hardware-measure": (lambda cast: cast.post("hardware-measure"), "Looked at this machine again"),
    "hardware-add": (adds_a_machine, "Added."),
    "hardware-delete": (lambda cast: cast.post("hardware-delete", another_machine(cast).pk), "Deleted."),
    "hardware-amounts": (
        lambda cast: cast.post(
            "hardware-amounts", cast.here.pk, "ram", budget="50%", was_budget="", reserve="", was_reserve=""
        ),
        "Budget of RAM: default → 50%.",
    ),
    "model-add": (imports, "Begun."),
    "upload-begin": (uploads, "Begun."),
    "upload": (lambda cast: cast.client.delete(reverse("upload", args=[uploads(cast)])), "Cancelled."),
    "hub-token": (lambda cast: cast.post("hub-token", token=TOKEN), "Token entered."),
    "hub-download": (downloads, "Begun."),
    "model": (saves_a_variant, "Name: tiny-F16 → renamed."),
    "requantize": (lambda cast: cast.post("requantize", cast.tiny.name, type="Q8_0"), "Job begun: Requantize"),
    "measure": (lambda cast: cast.post("measure", cast.tiny.name), "Job begun: Measure"),
    "imatrix": (lambda cast: cast.post("imatrix", cast.tiny.name), "Job begun: Importance matrix"),
    "model-verify": (lambda cast: cast.post("model-verify", cast.tiny.name), "Job begun: Verify"),
    "job": (lambda cast: cast.post("job", cast.job().pk, action="pause"), "Paused: Verify it."),
    "download-limit": (
        lambda cast: cast.post("download-limit", limit="10MiB"),
        "Download limit: no limit → 10.0 MiB/s.",
    ),
    "quarantine-discard": (
        lambda cast: cast.post("quarantine-discard", name=quarantined(cast)),
        "Discarded from the quarantine: bad.gguf.part, 3 bytes.",
    ),
}
"""By the address's name: how it changes something, and what the log then says."""

WITH_A_HOST = {
    "residency": "tests/web/dashboard/test_loading_from_the_dashboard.py",
    "model-delete": "tests/web/models/test_models_are_deleted.py",
}
"""Walked where a host answers."""

NOT_THE_BOXS = {
    "healthz": "tells, however it is asked",
    "login": "opens a session",
    "logout": "ends it",
    "upload-piece": "brings what the upload, which is in the log, was begun for",
    "v1-chat-completions": "what people ask is theirs",
    "v1-completions": "as above",
    None: "/favicon.ico, and /v1/ addresses that there are none of",
}

READ_ONLY = {
    *("dashboard", "metrics", "chat", "conversation", "hardware", "hardware-plan", "models", "models-plans"),
    *("hub-find", "hub-repository", "hub-plans", "hub-sources", "jobs", "v1-models", "v1-model", "javascript-catalog"),
}


def addresses() -> dict[str | None, URLPattern]:
    """All but the admin's own."""
    found: dict[str | None, URLPattern] = {}

    def walk(patterns: Any) -> None:
        for each in patterns:
            if isinstance(each, URLPattern):
                found[each.name] = each
            elif each.namespace != "admin":
                walk(each.url_patterns)

    walk(get_resolver().url_patterns)
    return found


def test_every_address_is_known_to_change_something_or_nothing() -> None:
    assert {*PAGES, *WITH_A_HOST, *NOT_THE_BOXS, *READ_ONLY} == set(addresses())


def some_value(converter: Any) -> str:
    return {"IntConverter": "1", "UUIDConverter": "00000000-0000-0000-0000-000000000000"}.get(
        type(converter).__name__, "x"
    )


@pytest.mark.parametrize("name", sorted(READ_ONLY))
async def test_what_only_reads_takes_no_form(name: str, host: FakeHost) -> None:
    pattern = addresses()[name]
    parts = {key: some_value(converter) for key, converter in pattern.pattern.converters.items()}
    client = AsyncClient()
    await client.aforce_login(await User.objects.acreate(username="owner", is_staff=True, is_superuser=True))
    for method in (client.post, client.put, client.delete):
        assert (await method(reverse(name, kwargs=parts))).status_code in (401, 404, 405)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_what_a_page_changes_is_in_the_log(cast: Cast, name: str) -> None:
    change, told = PAGES[name]
    change(cast)
    entries = list(LogEntry.objects.select_related("user"))
    messages = [entry.get_change_message() or "Deleted." for entry in entries]
    found = [entry for entry, message in zip(entries, messages, strict=True) if told in message]
    assert found, messages
    who = "newcomer" if name == "claim" else "owner"
    assert {entry.user.username for entry in found} == {who}
    listed = cast.client.get(reverse("admin:admin_logentry_changelist"))
    assert told.rstrip(".") in listed.content.decode()
    assert TOKEN not in "".join(messages)


def test_what_is_done_to_a_variant_or_its_jobs_stands_on_its_page(cast: Cast) -> None:
    for name in ("model-verify", "measure", "imatrix"):
        PAGES[name][0](cast)
    job = Job.objects.get(kind="measure")
    for action in ("pause", "resume", "cancel"):
        cast.post("job", job.pk, action=action)
    told = {each.message for each in audit.history(cast.tiny)}
    assert {f"{done}: {job.title}." for done in ("Paused", "Resumed", "Cancelled")} <= told
    assert {f"Job begun: {each.title}." for each in Job.objects.all()} <= told


def test_a_variant_that_a_job_made_names_who_began_the_job(cast: Cast) -> None:
    from models_app.jobs.runner import Runner

    imports(cast)
    job = Job.objects.get(kind="import")
    Runner("box", send=lambda _: None).work(job.pk)
    job.refresh_from_db()
    assert job.variant is not None
    (made,) = audit.history(job.variant)
    assert (made.who, made.message) == ("owner", f"Made by a job: {job.title}.")


# what the box does itself -------------------------------------------------------------------------------------


def damages(cast: Cast) -> None:
    job = jobs.start("verify", {"variant": cast.tiny.pk}, "Verify it", variant=cast.tiny)
    cast.tiny.shards.update(sha256="0" * 64)
    from models_app.jobs.runner import Runner

    Runner("box", send=lambda _: None).work(job.pk)


def loses(cast: Cast) -> None:
    (cast.folder / "tiny.gguf").unlink()
    call_command("scan_models")


def finds(cast: Cast) -> None:
    build(cast.folder / "found.gguf", SHAPES["tiny-gqa"])
    call_command("scan_models")


def adds(cast: Cast) -> None:
    call_command("add_model", build(cast.elsewhere / "added.gguf", SHAPES["tiny-gqa"]))


def uploads_the_last_piece(cast: Cast) -> None:
    pk = uploads(cast)
    address = reverse("upload-piece", args=[pk, 0])
    assert cast.client.put(address, b"0123456789", headers={"Upload-Offset": "0"}).status_code == 200


def makes_an_administrator(cast: Cast) -> None:
    call_command("createsuperuser", username="second", email="", interactive=False)
    assert User.objects.get(username="second").is_superuser


def changes_a_password(cast: Cast) -> None:
    with patch("getpass.getpass", return_value=PASSWORD):
        call_command("changepassword", "owner")
    assert User.objects.get(username="owner").check_password(PASSWORD)


BY_THE_BOX: dict[str, tuple[Callable[[Cast], Any], str]] = {
    "add_model": (adds, "Added on the console."),
    "changepassword": (changes_a_password, "Password changed on the console."),
    "createsuperuser": (makes_an_administrator, "Account of an administrator made on the console."),
    "create_key": (lambda cast: call_command("create_key", "owner"), "Made for owner."),
    "invite": (lambda cast: call_command("invite"), "Made on the console."),
    "scan_models": (finds, "A scan found"),
    "scan_models, of what has gone": (loses, "Found by a scan: its files are missing."),
    "a verification": (damages, "Found by a verification:"),
}
WITH_A_HOST_TOO = {"load": "Loaded, on the console.", "unload": "Unloaded, on the console."}
COMMANDS_THAT_READ = {"status", "plan", "serve", "runhost", "runweb", "runjobs"}


def test_every_command_is_known_to_change_something_or_nothing() -> None:
    ours = {
        name
        for name, app in get_commands().items()
        if str(app) in ("hostui", "hostui.accounts", "inference", "models_app")
    }
    assert ours == {name for name in BY_THE_BOX if " " not in name} | set(WITH_A_HOST_TOO) | COMMANDS_THAT_READ


@pytest.mark.parametrize("name", sorted(BY_THE_BOX))
def test_what_nobody_signed_in_does_is_the_boxs_own(cast: Cast, name: str, capsys: Any) -> None:
    change, told = BY_THE_BOX[name]
    change(cast)
    found = [each for each in LogEntry.objects.select_related("user") if told in each.change_message]
    assert [each.user.username for each in found] == [THE_BOX]


@pytest.mark.parametrize("name", sorted(WITH_A_HOST_TOO))
async def test_loading_on_the_console_is_in_the_log(host: FakeHost, variant: Variant, name: str, capsys: Any) -> None:
    called = asyncio.ensure_future(sync_to_async(call_command, thread_sensitive=False)(name, variant.name))
    await (await host.take(name)).say({"type": "completed"})
    await called
    entry = await LogEntry.objects.select_related("user").aget()
    assert (entry.user.username, entry.change_message) == (THE_BOX, WITH_A_HOST_TOO[name])


def test_nobody_can_sign_in_as_the_box_or_change_its_account(cast: Cast) -> None:
    Invitation.issue(is_superuser=False)
    box = User.objects.get(username=THE_BOX)
    assert not box.is_active
    assert not box.has_usable_password()
    assert not box.is_staff
    assert cast.client.get(reverse("admin:auth_user_change", args=[box.pk])).status_code == 302
    assert THE_BOX not in cast.client.get(reverse("admin:auth_user_changelist")).content.decode()


# sockets ------------------------------------------------------------------------------------------------------


def test_every_socket_is_known_to_change_nothing_of_the_boxs() -> None:
    """What people write to each other and to models is theirs; the other two only tell."""
    told = [str(each.pattern) for each in websocket_urlpatterns]
    assert told == ["ws/chat/", "ws/host/", "ws/jobs/", ""]


# the admin ----------------------------------------------------------------------------------------------------

ACTIONS = {
    "variant": {
        *("enable", "disable", "load", "unload", "pin", "unpin", "verify", "requantize", "set_access", "set_wishes"),
    },
    "job": {"pause", "resume", "cancel", "retry"},
    "apikey": {"revoke"},
}
"""Beside deleting, which Django writes down itself; walked here and in tests/web/models/test_variants_admin.py."""


def test_the_admin_logs_itself_and_has_no_action_that_nobody_thought_of() -> None:
    for model, page in admin.site._registry.items():
        actions = {name if isinstance(name, str) else name.__name__ for name in page.actions}
        assert actions - {"delete_selected"} == ACTIONS.get(model._meta.model_name or "", set()), model
        logs_itself = type(page).log_change is ModelAdmin.log_change
        assert logs_itself or model is HubToken, "whose own functions log, for all who call them"
    assert {apps.get_model(label) for label in ("models_app.Variant", "models_app.Job", "auth.User")} <= set(
        admin.site._registry
    )


def admin_post(cast: Cast, name: str, /, *parts: Any, **form: Any) -> Any:
    answer = cast.client.post(reverse(f"admin:{name}", args=parts), form)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    return answer


def act(cast: Cast, model: str, action: str, row: Any, **form: Any) -> None:
    admin_post(cast, f"{model}_changelist", action=action, _selected_action=[row.pk], **form)


def act_on_a_job(action: str, state: Job.State, cast: Cast) -> None:
    act(cast, "models_app_job", action, cast.job(state=state))


IN_THE_ADMIN: dict[str, tuple[Callable[[Cast], Any], str]] = {
    "a user is added": (
        lambda cast: admin_post(
            cast, "auth_user_add", username="carol", password1=PASSWORD, password2=PASSWORD, usable_password="true"
        ),
        "Added.",
    ),
    "a group is added": (lambda cast: admin_post(cast, "auth_group_add", name="guests"), "Added."),
    "a group is deleted": (
        lambda cast: admin_post(cast, "auth_group_delete", Group.objects.create(name="guests").pk, post="yes"),
        "Deleted.",
    ),
    "somebody is invited": (lambda cast: admin_post(cast, "accounts_invitation_add", is_superuser=""), "Added."),
    "a key is made": (
        lambda cast: admin_post(cast, "accounts_apikey_add", user=cast.owner.pk, name="editor"),
        "Made for owner.",
    ),
    "a key is revoked": (
        lambda cast: act(cast, "accounts_apikey", "revoke", ApiKey.issue(cast.owner)[0]),
        "Revoked.",
    ),
    "a token is entered": (lambda cast: admin_post(cast, "models_app_hubtoken_add", token=TOKEN), "Token entered."),
    "a token is forgotten": (
        lambda cast: [
            admin_post(cast, "models_app_hubtoken_add", token=TOKEN),
            admin_post(cast, "models_app_hubtoken_delete", HubToken.objects.get().pk, post="yes"),
        ],
        "Token forgotten.",
    ),
    **{
        f"a job: {action}": (
            partial(act_on_a_job, action, state),
            told,
        )
        for action, state, told in (
            ("pause", "queued", "Paused."),
            ("resume", "paused", "Resumed."),
            ("cancel", "queued", "Cancelled."),
            ("retry", "failed", "Retried."),
        )
    },
    "variants are disabled": (lambda cast: act(cast, "models_app_variant", "disable", cast.tiny), "Disabled."),
    "a verification": (
        lambda cast: act(cast, "models_app_variant", "verify", cast.tiny),
        "Job begun: Verify tiny-F16.",
    ),
}


@pytest.mark.parametrize("name", sorted(IN_THE_ADMIN))
def test_what_the_admin_changes_is_in_the_log(cast: Cast, name: str) -> None:
    change, told = IN_THE_ADMIN[name]
    change(cast)
    entries = [each for each in LogEntry.objects.select_related("user") if each.user.username != THE_BOX]
    messages = [entry.get_change_message() or "Deleted." for entry in entries]
    assert messages.count(told) == 1
    assert {entry.user.username for entry in entries} == {"owner"}
    assert TOKEN not in json.dumps([*messages, *(entry.object_repr for entry in entries)])


@pytest.mark.parametrize("at_once", [False, True])
def test_what_somebody_did_stays_in_the_log_when_their_account_goes(cast: Cast, at_once: bool) -> None:
    carol = User.objects.create_user("carol", is_staff=True)
    audit.record([cast.tiny], carol.pk, audit.CHANGE, "Pinned.")
    if at_once:
        act(cast, "auth_user", "delete_selected", carol, post="yes")
    else:
        question = cast.client.get(reverse("admin:auth_user_delete", args=[carol.pk])).content.decode()
        assert "Log entry" not in question
        assert "permission" not in question
        admin_post(cast, "auth_user_delete", carol.pk, post="yes")
    assert not User.objects.filter(username="carol").exists()
    (kept,) = audit.history(cast.tiny)
    assert (kept.who, kept.message) == (THE_BOX, "carol, whose account is gone: Pinned.")
    (gone,) = [each for each in audit.recent(User) if each.what == "carol"]
    assert gone.who == "owner"
