"""/healthz names each process."""

from django.test import Client


def test_says_which_processes_are_down_without_a_login(client: Client) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "degraded",
        "processes": {"web": {"state": "ok"}, "host": {"state": "down"}, "jobs": {"state": "down"}},
    }
