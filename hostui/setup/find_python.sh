#!/bin/sh
# Prints a Python that will do: the environment's own, else the newest of 3.10 to 3.13 on the PATH. Else one line that names the package.
fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}
for candidate in .venv/bin/python python3.13 python3.12 python3.11 python3.10 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 && fits "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done
found=$(python3 -c 'import sys; print("Python %d.%d" % sys.version_info[:2])' 2>/dev/null) || found="no Python"
if command -v apt-get >/dev/null 2>&1; then how="Run: sudo apt-get install python3 python3-venv (Debian 12, Ubuntu 22.04 or newer)"
elif command -v dnf >/dev/null 2>&1; then how="Run: sudo dnf install python3.12"
elif command -v pacman >/dev/null 2>&1; then how="Run: sudo pacman -S python"
elif command -v zypper >/dev/null 2>&1; then how="Run: sudo zypper install python312"
elif command -v apk >/dev/null 2>&1; then how="Run: apk add python3"
elif command -v brew >/dev/null 2>&1; then how="Run: brew install python@3.13"
else how="Install python3.12"
fi
echo "hostui: needs Python 3.10 to 3.13, and there is $found. $how" >&2
exit 1
