"""`make test-shared`: a whole box on PostgreSQL and Redis, and the tests of jobs, downloads and the inventory on PostgreSQL."""

from __future__ import annotations

import os
import sys

import pytest

from tests.shared.servers import running_servers, why_none

ON_POSTGRESQL = (
    "tests/downloads/test_downloading.py",
    "tests/downloads/test_importing.py",
    "tests/downloads/test_names.py",
    "tests/downloads/test_uploading.py",
    "tests/downloads/test_verifying.py",
    "tests/jobs/test_attempts.py",
    "tests/jobs/test_two_ask_at_once.py",
    "tests/jobs/test_nothing_is_lost.py",
    "tests/models_app/test_add_model.py",
    "tests/models_app/test_hardware_profiles_in_the_database.py",
    "tests/models_app/test_inventory_admin.py",
    "tests/models_app/test_scan_models.py",
)


def main() -> int:
    if reason := why_none():
        print(f"tests/shared did not run: {reason}.")
        return 0
    with running_servers() as servers:
        os.environ["HOSTUI_TEST_DATABASE_URL"] = servers.new_database()
        return int(pytest.main(["tests/shared", *ON_POSTGRESQL, *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
