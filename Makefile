# Needs Python 3.11 or newer with pip and venv. Everything made here lies in $(VENV), $(TRAIN_VENV), build/ and tool caches.

PYTHON ?= python3
VENV ?= .venv
TRAIN_VENV ?= .venv-train

# Compiled kernels are cached beside the environment that made them and go with every installation: a cache among the
# installed files would outlive them, and numba does not notice when a function called from another file has changed.
export NUMBA_CACHE_DIR := $(abspath $(VENV))/numba-cache
# The checkout on the path would hide the installed package.
unexport PYTHONPATH

# Folders are listed too: their time changes when a file goes away.
SOURCES := pyproject.toml README.md LICENSE $(shell find xbarc passes runtime -name __pycache__ -prune -o -print)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long test-onnx check bench bench-quick bench-goals bench-large trends models exported clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1@\2/p' Makefile | awk -F@ '{ printf "%-16s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed  ## install into .venv; compile, evaluate (also on ten PCM chips) and report the digits network
	@mkdir -p build
	$(VENV)/bin/xbarc compile models/digits_cnn.onnx --calibrate models/digits_calibration.npz -o build/digits_cnn.xbar.onnx
	$(VENV)/bin/xbarc eval build/digits_cnn.xbar.onnx --data models/digits_test.npz \
		--device pcm --chips 10 --times 0,1d,1y --compensation both
	$(VENV)/bin/xbarc report build/digits_cnn.xbar.onnx

# Bare pytest, not python -m pytest: the latter would test the checkout, this tests the installed wheel.
test: $(VENV)/.installed-dev  ## the tests, against the installed wheel
	@$(VENV)/bin/pytest -q -n 2

test-long: $(VENV)/.installed-dev  ## the tests that take more than a minute each
	@$(VENV)/bin/pytest -q -n 2 -m long

test-onnx: $(VENV)/.installed-dev  ## all of ONNX's own backend suite, with its weights as inputs and frozen
	@$(VENV)/bin/python tests/onnx_suite.py

check: $(VENV)/.installed-dev  ## lint, format and types
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/python .ci/typetree.py
	@$(VENV)/bin/mypy

bench: $(VENV)/.installed  ## speed and memory beside onnxruntime, in five minutes; what is measured is in docs/speed.md
	@$(VENV)/bin/python benchmarks/run.py

trends: $(VENV)/.installed  ## measure the published trends of docs/trends.md anew, with its figures; ten minutes
	@$(VENV)/bin/python benchmarks/trends.py --output build/trends

bench-quick: $(VENV)/.installed  ## a few of these figures, in half a minute
	@$(VENV)/bin/python benchmarks/run.py --quick

bench-goals: $(VENV)/.installed  ## those that there are goals for, beside their goals
	@$(VENV)/bin/python benchmarks/goals.py

bench-large: $(VENV)/.installed  ## compiling ResNet-50, VGG-16 and models of 1 GB and more; takes 4 GB of disk for a while
	@$(VENV)/bin/python benchmarks/run.py --heavy
	@$(VENV)/bin/python benchmarks/mapping.py
	@$(VENV)/bin/python benchmarks/large.py

models: $(TRAIN_VENV)/.installed-train  ## train the models of models/ anew, in an environment of their own
	@$(TRAIN_VENV)/bin/python models/train.py

# Converters that go through sets write them in the order of their hashes.
exported: $(TRAIN_VENV)/.installed-export  ## export the networks of tests/exported/ anew, in the same environment
	@PYTHONHASHSEED=0 $(TRAIN_VENV)/bin/python tests/exported/export.py

clean:  ## remove everything made here
	@rm -rf $(VENV) $(TRAIN_VENV) build dist xbarc.egg-info .typetree .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/pip $(TRAIN_VENV)/bin/pip:
	@echo "making the environment $(@D:/bin=)"
	@$(PYTHON) -m venv $(@D:/bin=)

# $(call install,WHAT) installs a wheel of the checkout. setuptools would copy files that are gone from the sources out of
# its own build/lib, so that goes first.
define install
@echo "installing $(1) into $(@D)"
@rm -rf build/lib build/bdist.* $(@D)/numba-cache
@$(@D)/bin/pip install --quiet --disable-pip-version-check '$(1)'
@touch $@
endef

$(VENV)/.installed: $(SOURCES) | $(VENV)/bin/pip
	$(call install,.)

$(VENV)/.installed-dev: $(SOURCES) | $(VENV)/bin/pip
	$(call install,.[dev])
	@touch $(VENV)/.installed

$(TRAIN_VENV)/.installed-train: $(SOURCES) | $(TRAIN_VENV)/bin/pip
	$(call install,.[train])

$(TRAIN_VENV)/.installed-export: $(SOURCES) | $(TRAIN_VENV)/bin/pip
	$(call install,.[export])
