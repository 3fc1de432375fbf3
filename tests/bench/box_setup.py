"""Prepares a running box for the benchmarks; run as `python -m tests.bench.box_setup N_USERS N_SEQ_MAX N_CTX_SEQ` in the box's environment.

Makes N_USERS people who are signed in, gives the box's one variant the wanted slots, and prints what a client needs as JSON.
"""

from __future__ import annotations

import json
import sys

import django


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.backends.db import SessionStore

    from models_app.models import Variant

    n_users, n_seq_max, n_ctx_seq = map(int, sys.argv[1:])
    variant = Variant.objects.get()
    variant.n_seq_max, variant.n_ctx_seq, variant.pinned = n_seq_max, n_ctx_seq, True
    variant.save()
    users = []
    for number in range(n_users):
        user = get_user_model().objects.create_user(username=f"bench{number}")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        users.append({"user_id": user.pk, "cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"})
    print(json.dumps({"host_socket": settings.HOST_SOCKET, "variant": variant.pk, "users": users}))


if __name__ == "__main__":
    main()
