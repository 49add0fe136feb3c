# make live   install everything and play the demo song, separated (without a sound device: record it)
# make test   install everything and run all tests, including those on a private JACK server
# make test-long   long tests: the tests on a JACK server ten times, while other programs use all cores;
#                  hosts such as Ardour; the page in a browser
# make soak   hours of play with faults at random, on a private server: SECONDS=7200 SEED=17 SERVER=jack|pipewire;
#             FAULTS="MIDI flood,model killed" for these faults only; readings, plots and a page in out/soak
# make plugin   build the LV2 plugin and install it for this user
# make lint   formatting, style, types, direction of imports, schemas, links of the documentation
# make docs   the documentation as a site, in out/site
# make man    make the man page man/rtsep.1 from the parser of the command line
# make dist   build the sdist and two wheels into dist/, and check them: one for Linux with the built plugin, one for all
# make test-wheel   install both wheels into a new virtual environment, play the demo and install the plugin with them

# make live TORCH=cpu   the same with PyTorch's build for processors, without gigabytes of CUDA libraries
# make live MIDI=yes    the same with python-rtmidi, built if there is no wheel (Python 3.13 and newer)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
APT_LIVE := libportaudio2 libpulse0
APT_MIDI := g++ python3-dev pkg-config libasound2-dev libjack-jackd2-dev
APT_PIPEWIRE := pipewire pipewire-bin pipewire-jack wireplumber dbus
APT_PLUGIN := gcc libc6-dev lv2-dev
APT_TEST := libportaudio2 jackd2 ecasound ffmpeg pulseaudio pulseaudio-utils zsh fish $(APT_PLUGIN) $(APT_PIPEWIRE)

APT_LONG := $(APT_TEST) ardour chromium cmake jalv lilv-utils mpv pipewire-pulse sordi valgrind
# For the picture in docs/plugin.md (tests/plugin/picture.py), by hand: ardour xvfb xdotool imagemagick

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
MAN := man/rtsep.1

TORCH ?=
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH): cpu is known; without TORCH, pip chooses)
endif
ifeq ($(TORCH),cpu)
define install_torch
$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --index-url $(TORCH_CPU_INDEX) torch
endef
endif

MIDI ?=
ifneq ($(filter-out yes,$(MIDI)),)
$(error MIDI=$(MIDI): yes is known; without MIDI, it is installed where it has wheels)
endif
EXTRA := $(if $(MIDI),[midi])
# The tests need python-rtmidi, which has no wheels for Python 3.13 and newer: it is built there.
BUILDS_MIDI := $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 13) else "")' 2>/dev/null)

.PHONY: man docs live plugin test soak test-long test-jack-load lint setup clean dist test-wheel
.DEFAULT_GOAL := help

help:
	@sed -n '1,15s/^# //p' Makefile

# System libraries, installed by apt if possible; otherwise a line names the missing ones.
define apt_install
	@missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	  echo "installing$$missing"; \
	  { echo "jackd2 jackd/tweak_rt_limits boolean false" | $$sudo debconf-set-selections; \
	    $$sudo apt-get -o DPkg::Lock::Timeout=300 update -qq && \
	    DEBIAN_FRONTEND=noninteractive $$sudo apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
	      --no-install-recommends $$missing >/dev/null; } || \
	  echo "could not install$$missing; ask your administrator, or continue without them"; \
	elif [ -n "$$missing" ]; then echo "no apt on this system; these may be missing:$$missing"; fi
endef

# The environment belongs to one Python. It is made again for another one, and after an incomplete first try (without
# the package python3-venv, for example). The stamp has the age of the environment: a complete environment from before
# the stamps is kept, with all its packages.
PYTHON_ID := $(shell $(PYTHON) -c 'import sys; print("%s-%d.%d" % (sys.implementation.name, *sys.version_info[:2]))' 2>/dev/null)
MADE := $(VENV)/.made-by-$(PYTHON_ID)
ifneq ($(shell $(BIN)/python -c 'import pip; print("whole")' 2>/dev/null),whole)
.PHONY: $(MADE)
endif

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON): no Python 3.11 or newer; name another one with PYTHON=..."; exit 1; }
	@here=$$($(BIN)/python -c 'import pip, sys; print("%s-%d.%d" % (sys.implementation.name, *sys.version_info[:2]))' 2>&1); \
	if [ "$$here" != "$(PYTHON_ID)" ]; then \
	  if [ -e $(VENV) ]; then \
	    [ -e $(VENV)/pyvenv.cfg ] || { echo "$(VENV) is not a Python environment; move it to another place"; exit 1; }; \
	    echo "making $(VENV) again: it is not a complete environment of $(PYTHON)"; \
	  fi; \
	  rm -rf $(VENV); \
	  $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
	fi
	@touch -r $(VENV)/pyvenv.cfg $@

# One stamp for each set of packages; a change of the project's own files installs again.
$(VENV)/.live: pyproject.toml constraints.txt $(MADE)
	$(if $(MIDI),$(call apt_install,$(APT_MIDI)))
	$(install_torch)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.$(EXTRA)'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(MADE)
	$(if $(BUILDS_MIDI),$(call apt_install,$(APT_MIDI)))
	$(install_torch)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,midi]'
	@touch $@ $(VENV)/.live

setup: $(VENV)/.dev

live: $(VENV)/.live
	$(call apt_install,$(APT_LIVE))
	$(BIN)/rtsep live --in demo --record out/live
	@echo "To use rtsep in this shell: . $(BIN)/activate"

plugin: $(VENV)/.live
	$(call apt_install,$(APT_PLUGIN))
	$(BIN)/rtsep plugin install

# Most tests share the cores, three workers on two cores, because a test that waits for a server needs no core.
# With worksteal, the tests of a file mostly stay together, so that their fixtures are made once. Tests on a JACK server
# lose frames beside others: they run afterwards, five at a time, even if other tests have failed.
# They are compiled to bytecode once, even if the shell forbids it: each worker and each share reads all of them.
test: export PYTHONDONTWRITEBYTECODE :=
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(8, max(1, (os.cpu_count() or 1) * 3 // 2)))')
test: $(VENV)/.dev
	$(call apt_install,$(APT_TEST))
	$(BIN)/python -m tests.compiled_once
	$(BIN)/python -m pytest -m "not jack and not long" -n $(WORKERS) --dist worksteal --durations 40; code=$$?; \
	$(BIN)/python -m tests.e2e.in_shares --shares 5 && exit $$code

# Two runs at a time, each on its own servers, beside a busy loop for each core. A failed test is repeated on a new
# server, twice at most; the table shows it.
JACK_RUNS := 10
test-jack-load: $(VENV)/.dev
	$(call apt_install,$(APT_TEST))
	$(BIN)/python -m tests.e2e.repeat_under_load --runs $(JACK_RUNS)

test-long: $(VENV)/.dev test-jack-load
	$(call apt_install,$(APT_LONG))
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[browser,dist]'
	$(BIN)/python -m pytest -m long -rs

SECONDS := 7200
SEED :=
FAULTS :=
SERVER := jack
soak: $(VENV)/.dev
	$(call apt_install,$(APT_TEST))
	$(BIN)/python -m tests.soak --seconds $(SECONDS) --server $(SERVER) $(if $(SEED),--seed $(SEED)) \
	  $(if $(FAULTS),--faults "$(FAULTS)")

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
	  $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format --force-filetype yaml CITATION.cff
	$(BUILD_SITE)

# Strict: a missing link, anchor or picture stops the build, and so does a page that is missing in the menu.
BUILD_SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs: $(VENV)/.dev
	$(BUILD_SITE)
	@echo "To read it: $(BIN)/python -m http.server -b 127.0.0.1 -d out/site 8000, then http://127.0.0.1:8000"

# A line of a man page that begins with ' is a command; in text, ' gets its long name.
man: $(VENV)/.dev
	@mkdir -p $(dir $(MAN))
	$(BIN)/argparse-manpage --module rtsep.cli.completion --function whole_parser --prog rtsep \
	  --project-name rtsep --version $(VERSION) --manual-title "live vocal separation" \
	  --description "takes the voice out of music while it plays" --output $(MAN)
	sed -i.unquoted "s/^'/\\\\(aq/" $(MAN) && rm $(MAN).unquoted

# Release: docs/releasing.md has all steps.
DIST := dist

# The wheel for Linux contains the plugin, compiled against an old C library by Zig's C compiler. `auditwheel` checks
# this.
WHEEL_LIBC := 2.28
WHEEL_TAG := manylinux_$(subst .,_,$(WHEEL_LIBC))_x86_64
WHEEL_CC = $(abspath $(BIN))/python -m ziglang cc -target x86_64-linux-gnu.$(WHEEL_LIBC)

dist: $(VENV)/.dev man
	$(call apt_install,lv2-dev)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dist]'
	rm -rf $(DIST)
	$(BIN)/python -m build --no-isolation --outdir $(DIST) .
	RTSEP_WHEEL=$(WHEEL_TAG) CC="$(WHEEL_CC)" $(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps \
	  --no-build-isolation --no-cache-dir --wheel-dir $(DIST) $(DIST)/*.tar.gz
	$(BIN)/twine check --strict $(DIST)/*
	$(BIN)/auditwheel show $(DIST)/*-$(WHEEL_TAG).whl

test-wheel: dist
	$(call apt_install,$(APT_LIVE))
	RTSEP_DIST=$(DIST) $(BIN)/python -m pytest tests/release

clean:
	rm -rf $(VENV) out $(DIST)
