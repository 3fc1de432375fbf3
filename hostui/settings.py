"""Settings of hostui. Every knob is an environment variable; everything else follows from the data folder."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from hostui.admin import look
from hostui.box import logs, private_files, secret_key
from hostui.box.env import BadSetting, EnvironmentVariables
from hostui.box.socket_folder import socket_folder
from hostui.http.own_hosts import OwnHosts
from hostui.http.proxies import parse_network

env = EnvironmentVariables()
BASE_DIR = Path(__file__).resolve().parent.parent

# data folder --------------------------------------------------------------------------------------------------

# For everything that any process makes from here on; workers inherit it. What was open before: hostui.apps.
os.umask(private_files.UMASK)
DATA_DIR = Path(env.text("HOSTUI_DATA_DIR", str(BASE_DIR / "data"))).expanduser().resolve()
RUN_DIR = DATA_DIR / "run"
LOG_DIR = DATA_DIR / "logs"
try:
    for _folder in (DATA_DIR, RUN_DIR, LOG_DIR):
        _folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    SECRET_KEY = secret_key.load_or_create(DATA_DIR / "secret_key")
    _sockets = socket_folder(RUN_DIR, env.optional("XDG_RUNTIME_DIR"))
except OSError as error:
    raise BadSetting("HOSTUI_DATA_DIR", str(DATA_DIR), f"a folder to write in ({error.strerror or error})") from None

HOST_SOCKET = str(_sockets / "host.sock")
"""Workers' lie beside it. Whoever speaks to one looks first at whose folder it is: inference.engine.private_folder."""

# the box's own knobs ------------------------------------------------------------------------------------------

HOST = env.text("HOSTUI_HOST", "0.0.0.0")  # noqa: S104  the LAN is whom this is for
PORT = env.integer("HOSTUI_PORT", 8642, 1, 65535)
HTTPS = env.flag("HOSTUI_HTTPS", False)

TRUSTED_PROXIES = []
"""What these say of the client's address, scheme and host is believed: hostui.http.proxies."""
for _proxy in env.words("HOSTUI_TRUSTED_PROXIES"):
    if (_network := parse_network(_proxy)) is None:
        raise BadSetting(
            "HOSTUI_TRUSTED_PROXIES",
            _proxy,
            "addresses or networks, such as 192.168.1.2 or 172.18.0.0/16, not all of them",
        )
    TRUSTED_PROXIES.append(_network)

BUDGET_BYTES = env.size_bytes("HOSTUI_BUDGET")
"""What resident variants may hold together; None: the host derives it from the machine."""
KEEP_ALIVE_SECONDS = env.seconds("HOSTUI_KEEP_ALIVE_SECONDS", 900)
MAX_WAIT_SECONDS = env.seconds("HOSTUI_MAX_WAIT_SECONDS", 30)
LOAD_TIMEOUT_SECONDS = env.seconds("HOSTUI_LOAD_TIMEOUT_SECONDS", 600)
STEP_TIMEOUT_SECONDS = env.seconds("HOSTUI_STEP_TIMEOUT_SECONDS", 600)
"""A worker that needs longer for one decode step hangs and is ended. See inference.core.monitoring.liveness."""
RPC_CLIENTS = env.integer("HOSTUI_RPC_CLIENTS", 1, 1, 64)
"""Workers that an RPC server answers at once. llama.cpp's own lets a second one wait until the first has ended."""
RPC_SERVERS = env.words("HOSTUI_RPC_SERVERS")
"""`host:port` of ggml RPC servers, comma-separated: their memory is used like that of GPUs. They ask nobody for a password."""
for _server in RPC_SERVERS:
    if not re.fullmatch(r"\S+:[0-9]{1,5}", _server):
        raise BadSetting("HOSTUI_RPC_SERVERS", _server, "host:port, or several with commas between them")
HUB_ENDPOINT = env.text("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
"""Where models are found and fetched from: the Hub, a mirror of it, or a server that speaks like it."""
if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", HUB_ENDPOINT):
    # The value itself may hold a password, so it isn't repeated.
    raise BadSetting("HF_ENDPOINT", "…", "an address without a password, such as https://huggingface.co")
HUB_TOKEN = env.optional("HF_TOKEN")
"""For gated and private repositories, where none was entered on the page. Goes to HUB_ENDPOINT alone."""
DRAIN_SECONDS = env.seconds("HOSTUI_DRAIN_SECONDS", 10)
MODELS_DIR = DATA_DIR / "models"
"""What hostui downloads, makes or takes in; `.part` files and the quarantine, too."""
DOWNLOAD_BYTES_PER_SECOND = env.size_bytes("HOSTUI_DOWNLOAD_LIMIT") or None
"""All downloads together; None: as fast as they come. What the owner sets on a page goes before it."""
DISK_RESERVE_BYTES = 1 << 30 if (_reserve := env.size_bytes("HOSTUI_DISK_RESERVE")) is None else _reserve
"""Stays free on the disk of the data folder: the database and the logs need it."""
JOBS_WAKE = "hostui.celery.wake"
"""Sends the broker's message for a job. Imported by its first use: most processes never need Celery."""

# applications -------------------------------------------------------------------------------------------------

# "daphne" is left out on purpose: its app imports Twisted into every process, and only `runweb` needs it.
INSTALLED_APPS = [
    "hostui",
    "hostui.accounts",
    "models_app",
    "inference",
    # Its templates go before those of the admin.
    "hostui.admin.config.UnfoldConfig",
    "hostui.admin.config.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "hostui.urls"
ASGI_APPLICATION = "hostui.asgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
"""With a second one: LocaleMiddleware, which would only cost time now."""
LOCALE_PATHS = [BASE_DIR / "locale"]

MIDDLEWARE = [
    "hostui.http.middleware.request_id",
    "hostui.http.middleware.security_headers",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hostui.accounts.middleware.api_key",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

UNFOLD = look.settings()

# storage ------------------------------------------------------------------------------------------------------

DATABASES: dict[str, Any]
if _database_url := env.optional("DATABASE_URL"):
    try:
        import dj_database_url
    except ImportError:
        raise BadSetting(
            "DATABASE_URL", "…", "the packages of requirements-shared.txt; run make serve with it set"
        ) from None
    try:
        DATABASES = {"default": dict(dj_database_url.parse(_database_url, conn_health_checks=True))}
    except ValueError as error:
        # The value itself may hold a password, so it isn't repeated.
        raise BadSetting("DATABASE_URL", "…", f"postgres://user:password@host:port/name ({error})") from None
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "hostui.sqlite3",
            "OPTIONS": {
                "timeout": 20,
                # A transaction that starts as a reader and then writes would fail at once instead of waiting.
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
            # A file like the real one: threads and async tests must not share one in-memory connection.
            "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
        }
    }

REDIS_URL = env.optional("HOSTUI_REDIS_URL")
CHANNEL_LAYERS: dict[str, Any] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CACHES: dict[str, Any] = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Holds the counts of failed sign-ins. With Django's 300 entries, tries at other names would make it forget them.
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    }
}
if REDIS_URL:
    CHANNEL_LAYERS["default"] = {"BACKEND": "hostui.http.channel_layer.SharedLayer", "CONFIG": {"url": REDIS_URL}}
    # Whoever asks it can do without: better soon no answer than a late one.
    CACHES["shared"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }

# accounts -----------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["hostui.accounts.throttle.ThrottledModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/chat/"
LOGOUT_REDIRECT_URL = "login"

# security -----------------------------------------------------------------------------------------------------

FURTHER_NAMES = env.words("HOSTUI_ALLOWED_HOSTS")
ALLOWED_HOSTS: list[str] = OwnHosts(FURTHER_NAMES)
if "*" in FURTHER_NAMES:
    raise BadSetting("HOSTUI_ALLOWED_HOSTS", "*", "names; a wildcard would let any web site reach this box")

# Cookies are shared by all ports of a host name: names of our own keep other programs on this box apart.
SESSION_COOKIE_NAME = "hostui_session"
CSRF_COOKIE_NAME = "hostui_csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if HTTPS else None  # browsers ignore it, loudly, without HTTPS
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for sub-domains: the box does not speak for its whole domain
    "security.W021",  # HSTS preload: for public sites
]
SECURE_REDIRECT_EXEMPT = ["^healthz$"]
"""Monitors, and serve itself, ask this box and not the proxy. It says nothing that would have to be kept secret."""
if HTTPS:
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
else:
    SILENCED_SYSTEM_CHECKS += [
        "security.W004",  # HSTS, W008 redirect, W012 and W016 secure cookies: a box on a LAN has a name that no
        "security.W008",  # authority certifies, so it speaks HTTP; HOSTUI_HTTPS=yes behind a proxy sets them all.
        "security.W012",
        "security.W016",
        "security.W024",
    ]

# static files -------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static"] + [
    (f"vendor/{name}", BASE_DIR / "node_modules" / folder)
    for name, folder in (
        ("marked", "marked/lib"),
        ("dompurify", "dompurify/dist"),
        ("katex", "katex/dist"),
        ("highlight", "@highlightjs/cdn-assets/es"),
        ("uplot", "uplot/dist"),
    )
    if (BASE_DIR / "node_modules" / folder).is_dir()
]

# logs ---------------------------------------------------------------------------------------------------------

# Only a process that lives has a log file, so no two processes ever rotate the same one.
PROCESS = {"runweb": "web", "runhost": "host", "runjobs": "jobs", "serve": "serve"}.get(
    sys.argv[1] if len(sys.argv) > 1 else "", "manage"
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "hostui.box.logs.JsonFormatter", "process": PROCESS},
        "line": {"()": "hostui.box.logs.LineFormatter", "process": PROCESS},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "level": "WARNING"},
    },
    "root": {"handlers": ["console"], "level": env.text("HOSTUI_LOG_LEVEL", "INFO").upper()},
    # One line per request is written by hostui.http.middleware; of Django's own, only tracebacks add to it.
    "filters": {"with_traceback": {"()": lambda: logs.with_traceback}},
    "loggers": {
        "django.request": {"filters": ["with_traceback"]},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "daphne": {"level": "WARNING"},
    },
}
if PROCESS != "manage":
    LOGGING["handlers"]["file"] = {
        "class": "logging.handlers.RotatingFileHandler",
        "formatter": "json",
        "filename": LOG_DIR / f"{PROCESS}.log",
        "maxBytes": 5_000_000,
        "backupCount": 3,
        "encoding": "utf-8",
        "delay": True,
    }
    LOGGING["root"]["handlers"].append("file")
