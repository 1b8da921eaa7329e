# Two commands on a fresh machine: `make demo` and `make test`. Each installs what it needs.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(p)),$(p))))
BIN := .venv/bin
# The workflow's Python is the environment's, whatever environment the shell has active.
RUN := env -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV PATH="$(CURDIR)/$(BIN):$$PATH"
CODE := scripts tests benchmarks docs envs profiles

.PHONY: help demo test faults interruptions staleness steady soak cluster environments lock cubes extensions storage learning bench bench-gpu quality study lint format docs html clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/astromodal: pyproject.toml envs/constraints.txt
	@echo "== Installing astromodal into .venv (a few minutes the first time)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar off -c envs/constraints.txt -e .
	@touch $@

.venv/astromodal-dev: .venv/astromodal
	@echo "== Installing what the tests need"
	$(BIN)/python -m pip install --quiet --progress-bar off -c envs/constraints.txt -e ".[dev]"
	@touch $@

demo: .venv/astromodal  ## simulate a sky, train on it, and report: results/demo/report/report.html
	@echo "== Running the whole workflow on a simulated sky (results in results/demo)"
	$(RUN) snakemake --profile profiles/local --configfile config/demo.yaml
	@echo "== Done. Open results/demo/report/report.html"

test: .venv/astromodal-dev  ## run all tests
	@echo "== Running the tests"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist worksteal --durations 10

faults: .venv/astromodal-dev  ## damage cubes and files, kill jobs, fill disks, and count how each ends (a quarter of an hour)
	@echo "== Injecting faults"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest tests/faults tests/interruptions \
		--hypothesis-profile faults --durations 10

interruptions: .venv/astromodal-dev  ## the half of the faults that tests leave out: kill jobs, fill disks, limit memory
	@echo "== Interrupting runs"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist worksteal tests/interruptions --durations 10

staleness: .venv/astromodal-dev  ## change everything in turn on real small runs, and see which jobs run (a quarter of an hour)
	@echo "== Changing, running, undoing, running"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist worksteal tests/staleness --durations 10 $(if $(ONLY),-m "$(ONLY)")

steady: .venv/astromodal-dev  ## run the tests' sky in four ways, and compare every byte (a quarter of an hour)
	@echo "== Running on one core, on two, with fields in another order and beside a load"
	$(RUN) pytest tests/steadiness

soak: .venv/astromodal-dev  ## run 200 small fields while jobs are killed and settings change (an hour or two): results/soak/soak.md
	@echo "== A long run, disturbed"
	$(RUN) PYTHONPATH=tests:scripts python tests/steadiness/soak.py

cluster: .venv/astromodal-dev  ## run the tests on a throw-away Slurm and Grid Engine (root, Debian's munge slurmctld slurmd slurm-client, gridengine-master gridengine-exec gridengine-client)
	@echo "== Running the tests on clusters of this machine's own"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest tests/cluster --maxfail 3 --durations 10

environments: .venv/astromodal-dev  ## build the container and the environments of conda, and run in them (root, Debian's buildah debootstrap; half an hour)
	@echo "== Building the container and the environments"
	$(BIN)/python -m pip install --quiet --progress-bar off -c envs/constraints.txt py-rattler
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest tests/environments --durations 10

lock: .venv/astromodal-dev  ## resolve envs/constraints.txt, and write the hashes: envs/lock.txt, envs/lock-gpu.txt
	$(BIN)/python -m pip install --quiet --progress-bar off -c envs/constraints.txt uv
	$(RUN) python envs/lock.py

cubes: .venv/astromodal-dev  ## build cubes from raw survey files, simulated and real, and change them (some minutes)
	@echo "== Building cubes from raw survey files"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist loadfile tests/cubes --durations 10

extensions: .venv/astromodal-dev  ## run the page on extending as it stands, and light curves (a minute or two)
	@echo "== Extending a survey"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist loadfile tests/extensions

storage: .venv/astromodal-dev  ## run with cubes and results on an object store, and on Slurm where that is installed (some minutes)
	@echo "== Running with an object store"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest tests/storage --durations 10

learning: .venv/astromodal-dev  ## train a small model, and test what it knows of unseen objects (four minutes)
	@echo "== Training a small model"
	$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest tests/learning --durations 10

.venv/astromodal-bench: .venv/astromodal-dev
	@echo "== Installing what the benchmarks compare with"
	$(BIN)/python -m pip install --quiet --progress-bar off -c envs/constraints.txt -e ".[bench]"
	@touch $@

bench: .venv/astromodal-bench  ## time every stage against a baseline: benchmarks/RESULTS.md
	@echo "== Running the benchmarks (about a quarter of an hour)"
	$(RUN) python -m benchmarks

bench-gpu: .venv/astromodal-bench  ## the same on a GPU: benchmarks/GPU.md
	$(RUN) python -m benchmarks.gpu

quality: .venv/astromodal-bench  ## evaluate the tokenizers over three seeds: benchmarks/QUALITY.md
	@echo "== Fitting and evaluating the tokenizers, three seeds (half an hour or more)"
	$(RUN) python -m benchmarks.quality

study: .venv/astromodal-bench  ## train longer on a simulated sky, and evaluate what the model knows: docs/study.png
	@echo "== Simulating, training and evaluating the model (an hour or two)"
	$(RUN) snakemake train results/study/outputs/sequences/datacube_SIM-0005_sequences.safetensors \
		--profile profiles/local --configfile config/study.yaml
	$(RUN) python -m benchmarks.study

lint: .venv/astromodal-dev  ## check style, types and prose
	$(RUN) ruff check $(CODE)
	$(RUN) ruff format --check $(CODE)
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) mypy
	$(RUN) snakemake --lint --configfile tests/config/tiny.yaml
	$(RUN) pytest -q tests/contracts/test_prose.py

format: .venv/astromodal-dev  ## format the code
	$(RUN) ruff check --fix $(CODE)
	$(RUN) ruff format $(CODE)
	$(RUN) snakefmt Snakefile rules

docs: .venv/astromodal  ## generate config/default.yaml, README.md and schema.json, and docs/columns.md
	$(RUN) python -m astromodal.config.document config
	$(RUN) python -m astromodal.data.schema docs/columns.md

.venv/astromodal-docs: .venv/astromodal
	@echo "== Installing what the pages are built with"
	$(BIN)/python -m pip install --quiet --progress-bar off -c envs/constraints.txt -e ".[docs]"
	@touch $@

html: .venv/astromodal-docs  ## build the pages, offline: docs/_build/html/index.html (some minutes: the tutorial is executed)
	@echo "== Building the pages"
	$(RUN) python docs/site/build.py

clean:  ## remove the environment, the demo's results and the built pages
	rm -rf .venv results/demo docs/_build
