# The whole chain: pretrain -> stage 1 (SFT) -> stage 2 (reward model) -> stage 3 (PPO) -> evaluation -> report.
#
# A target creates what it needs: the environment .venv, and the stages before it that are missing or out of date. A
# stage asked for by name always runs; `make all` runs those whose result is missing or out of date. What is out of date
# is decided by what a result was made from (settings, data, code, the stages before it), never by the times of files:
# `python -m rlhf.settings` removes made_from.json of what must be made again.

PRESET = small
SEED = 0
CORPUS =
DEMONSTRATIONS =
RANKINGS =
RUNS = runs
STAGE = ppo
NAME =
TEXT =
OUT = runs/handout
DIR =
PYTHON = python3
VENV = .venv

ifneq ($(words $(RUNS) $(PRESET) $(VENV)),3)
$(error RUNS, PRESET and VENV must be one word each, without blanks, but are '$(RUNS)', '$(PRESET)' and '$(VENV)')
endif

RUN = $(RUNS)/$(PRESET)
PY = $(VENV)/bin/python
FLAGS = --preset $(PRESET) --seed $(SEED) --runs $(RUNS)
# Through the environment, because a path may hold blanks and quotes.
export CORPUS DEMONSTRATIONS RANKINGS
WITH_CORPUS = $${CORPUS:+--corpus "$$CORPUS"}
WITH_DEMONSTRATIONS = $${DEMONSTRATIONS:+--demonstrations "$$DEMONSTRATIONS"}
WITH_RANKINGS = $${RANKINGS:+--rankings "$$RANKINGS"}

ENVIRONMENT = $(VENV)/installed
ENVIRONMENT_DEV = $(VENV)/installed-dev
BENCH_VENV = .venv-bench

# make may run its targets side by side (-j); the stages take turns.
.NOTPARALLEL:
.PHONY: help all pretrain stage1 stage2 stage3 dpo grpo evaluate report chat web readme \
  test long-test web-test web-load bugs faults distributed coverage lint verify expected bench speedrun bench-trl \
  tutorials tutorials-update figures notebooks experiment experiments exercises check-exercises handout grade clean
.PHONY: check $(foreach part,pretrain sft reward_model ppo dpo grpo evaluation,have-$(part) make-$(part))

help: ## this list (the default)
	@echo 'make TARGET [PRESET=tiny|small|medium] [SEED=0] [CORPUS=my.txt] [PYTHON=python3] [RUNS=runs]'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PRESET     tiny: the whole chain in under a minute; small (default): about ten minutes on two cores;'
	@echo '             medium: 26 million parameters, for a GPU, on which it has never been run'
	@echo '  SEED       another number, another run; the run that was there before is moved aside'
	@echo '  CORPUS     a text file of your own to pretrain on instead of the toy world'
	@echo '  DEMONSTRATIONS, RANKINGS   files of your own for stages 1 and 2, or those that a class has typed (make web)'
	@echo '  STAGE      whom to chat with: base, sft, ppo (default), dpo or grpo'

# ---- The chain ---------------------------------------------------------------------------------------------------

all: have-evaluation ## everything that is missing or out of date, then the report
	$(REPORT)
	@echo
	@echo 'Done. Open $(RUN)/report.html, read $(RUN)/*/samples.md, or talk to it: make chat PRESET=$(PRESET)'

# Compares the folder with the settings asked for, and marks what in it is out of date.
CHECK = @$(PY) -m rlhf.settings $(FLAGS) $(WITH_CORPUS) $(WITH_DEMONSTRATIONS) $(WITH_RANKINGS)
check: | $(ENVIRONMENT)
	$(CHECK)

# have-X makes X if its made_from.json is missing. After a stage was asked for by name, the later ones are checked again.
UNLESS_MADE = @test -f $(RUN)/$(1)/made_from.json || $(MAKE) --no-print-directory make-$(1)

PRETRAIN = $(PY) -m minigpt.pretrain $(FLAGS) $(WITH_CORPUS)
pretrain: check ## the tokenizer and the base model
	$(PRETRAIN)
	$(CHECK)
have-pretrain: check
	$(call UNLESS_MADE,pretrain)
make-pretrain:
	$(PRETRAIN)

SFT = $(PY) -m rlhf.stage1_sft $(FLAGS) $(WITH_DEMONSTRATIONS)
stage1: have-pretrain ## supervised fine-tuning on demonstrations; DEMONSTRATIONS=mine.jsonl takes yours
	$(SFT)
	$(CHECK)
have-sft: have-pretrain
	$(call UNLESS_MADE,sft)
make-sft:
	$(SFT)

REWARD_MODEL = $(PY) -m rlhf.stage2_reward $(FLAGS) $(WITH_RANKINGS)
stage2: have-sft ## a reward model from ranked answers; RANKINGS=mine.jsonl takes yours
	$(REWARD_MODEL)
	$(CHECK)
have-reward_model: have-sft
	$(call UNLESS_MADE,reward_model)
make-reward_model:
	$(REWARD_MODEL)

PPO = $(PY) -m rlhf.stage3_ppo $(FLAGS)
stage3: have-reward_model ## PPO against the reward model
	$(PPO)
	$(CHECK)
have-ppo: have-reward_model
	$(call UNLESS_MADE,ppo)
make-ppo:
	$(PPO)

# The alternatives to stage 3 learn from the results of the stages before it.
DPO = $(PY) -m rlhf.alternatives.dpo $(FLAGS) $(WITH_RANKINGS)
dpo: have-reward_model ## instead of stage 3: DPO on the rankings of stage 2, no rollouts
	$(DPO)
have-dpo: have-reward_model
	$(call UNLESS_MADE,dpo)
make-dpo:
	$(DPO)

GRPO = $(PY) -m rlhf.alternatives.grpo $(FLAGS)
grpo: have-reward_model ## instead of stage 3: GRPO against the reward model, no value model
	$(GRPO)
have-grpo: have-reward_model
	$(call UNLESS_MADE,grpo)
make-grpo:
	$(GRPO)

EVALUATE = $(PY) -m rlhf.evaluation $(FLAGS)
evaluate: have-ppo ## each stage on prompts never seen before: results.json
	$(EVALUATE)
have-evaluation: have-ppo
	$(call UNLESS_MADE,evaluation)
make-evaluation:
	$(EVALUATE)

REPORT = $(PY) -m rlhf.report --preset $(PRESET) --runs $(RUNS)

# ---- Looking at a run, whatever seed and corpus it was made with ---------------------------------------------------

# Runs the chain only if the file $(1) is missing: looking at a run must never move it aside.
IF_MISSING = @test -f $(1) || $(MAKE) --no-print-directory have-$(2)

report: | $(ENVIRONMENT) ## everything on one page: report.html
	$(call IF_MISSING,$(RUN)/results.json,evaluation)
	$(REPORT)

chat: | $(ENVIRONMENT) ## talk to a stage in the terminal
	$(if $(filter base sft ppo dpo grpo,$(STAGE)),,$(error STAGE is '$(STAGE)', expected base, sft, ppo, dpo or grpo))
	$(call IF_MISSING,$(RUN)/$(STAGE:base=pretrain)/checkpoint.pt,$(STAGE:base=pretrain))
	@$(PY) -m rlhf.chat --preset $(PRESET) --runs $(RUNS) --seed $(SEED) --stage $(STAGE)

# Whichever preset is trained, if none is named: after `make all PRESET=tiny` nobody wants to wait for small.
TRAINED = $(patsubst $(RUNS)/%/results.json,%,$(wildcard $(PRESETS:%=$(RUNS)/%/results.json)))
PRESETS = small medium tiny
WEB_PRESET = $(if $(filter file,$(origin PRESET)),$(firstword $(TRAINED) $(PRESET)),$(PRESET))
# More flags: WEB="--classroom --port 8080"
WEB =
web: | $(ENVIRONMENT) ## the classroom in a browser; WEB=--classroom opens it to the room
	$(call IF_MISSING,$(RUNS)/$(WEB_PRESET)/results.json,evaluation)
	@$(PY) -m rlhf.web --preset $(WEB_PRESET) --runs $(RUNS) --seed $(SEED) $(WEB)

readme: | $(ENVIRONMENT) ## the results and the samples in README.md, from a run
	$(call IF_MISSING,$(RUN)/results.json,evaluation)
	$(PY) -m rlhf.report.readme --preset $(PRESET) --runs $(RUNS)

# ---- Checks ------------------------------------------------------------------------------------------------------

# A file of tests is one process's, so that what its tests share is made once. More processes than four need more
# memory than a laptop has.
test: | $(ENVIRONMENT_DEV) ## the tests, in as many processes as there are cores
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

long-test: | $(ENVIRONMENT_DEV) ## the tests that take long and seldom break: full disks, every benchmark, a student's PPO
	$(PY) -m pytest -m long

web-test: | $(ENVIRONMENT_DEV) ## the classroom in a real browser, and killed while a class labels
	$(PY) -m pytest -m web tests/rlhf/web

bugs: | $(ENVIRONMENT_DEV) ## known bugs, planted one by one in a copy of the code: does a test catch each?
	$(PY) -m tests.bugs

faults: | $(ENVIRONMENT_DEV) ## training killed at random moments, also while it saves: is anything lost?
	$(PY) -m tests.faults

distributed: | $(ENVIRONMENT_DEV) ## torchrun jobs: do two processes take the steps of one?
	$(PY) -m pytest -m distributed tests/distributed

coverage: | $(ENVIRONMENT_DEV) ## which lines the tests run, of those with torchrun too; under 95 % it fails
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -m ''
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

lint: | $(ENVIRONMENT_DEV) ## ruff
	$(PY) -m ruff check .

verify: | $(ENVIRONMENT) ## three seeds against tests/expected/ and the promised figures (half an hour)
	$(THREE_SEEDS)
	$(PY) -m tests.verify

expected: | $(ENVIRONMENT) ## the same three seeds, written to tests/expected/
	$(THREE_SEEDS)
	$(PY) -m tests.verify --record

THREE_SEEDS = for seed in 0 1 2; do \
  $(MAKE) --no-print-directory all PRESET=small CORPUS= SEED=$$seed RUNS=runs/verify/seed-$$seed || exit $$?; done

bench: | $(ENVIRONMENT_DEV) ## how fast? each figure beside a yardstick (seven minutes, nothing else may run)
	$(PY) -m tests.benchmarks $(if $(TEXT),--text "$(TEXT)")

web-load: | $(ENVIRONMENT_DEV) ## 30 people labelling, 10 chatting, 10,000 requests (five minutes, nothing else may run)
	$(call IF_MISSING,$(RUN)/results.json,evaluation)
	$(PY) -m tests.benchmarks.classroom --preset $(PRESET) --runs $(RUNS)

speedrun: | $(ENVIRONMENT_DEV) ## five whole chains whose seeds nobody chose: an entry of SPEEDRUN.md (an hour)
	$(PY) -m tests.benchmarks.speedrun $(if $(NAME),--name "$(NAME)")

bench-trl: $(BENCH_VENV)/installed ## TRL in .venv-bench, so that `make bench` can run its PPO beside ours

# ---- Chapters and exercises --------------------------------------------------------------------------------------

tutorials: | $(ENVIRONMENT_DEV) ## every chapter executed: outputs, excerpts, figures, commands and numbers must hold
	$(PY) -m tutorials.tools.check

tutorials-update: | $(ENVIRONMENT_DEV) ## writes outputs, excerpts, numbers, tables and navigation into the chapters
	$(PY) -m tutorials.tools.update

figures: | $(ENVIRONMENT_DEV) ## the chapters' figures, drawn again
	$(PY) -m tutorials.tools.figures

notebooks: | $(ENVIRONMENT_DEV) ## the chapters as notebooks, in runs/notebooks/
	$(PY) -m tutorials.tools.notebooks

EXPERIMENTS = $(PY) -m tutorials.experiments --preset $(PRESET) --runs $(RUNS)
experiment: | $(ENVIRONMENT) ## a claim of the articles, measured: NAME=overoptimization, or another page
	$(if $(NAME),,$(error experiment needs a NAME=, the name of a page of tutorials/experiments))
	$(EXPERIMENTS) --name "$(NAME)"

experiments: | $(ENVIRONMENT) ## every claim measured (an hour), figures and table; PRESET=tiny: three minutes
	$(EXPERIMENTS)

exercises: | $(ENVIRONMENT) ## how far you are; then: .venv/bin/python -m tutorials.exercises check 4.1
	@$(PY) -m tutorials.exercises status

check-exercises: | $(ENVIRONMENT_DEV) ## stubs fail, solutions pass, wrong solutions are found out, a class is graded
	$(PY) -m tutorials.grading.prove
	$(PY) -m pytest tests/exercises/class_of_twelve.py

handout: | $(ENVIRONMENT) ## what a student gets, without solutions, in OUT=
	$(PY) -m tutorials.grading.handout --out "$(OUT)"

# SEED only if it was given: a class is graded with a number that nobody can guess
grade: | $(ENVIRONMENT) ## grades for the submissions in DIR=, with a private SEED=
	$(PY) -m tutorials.grading.grade --dir "$(DIR)" --seed "$(if $(filter command line,$(origin SEED)),$(SEED))"

clean: ## remove caches and the environment; runs stay
	rm -rf $(VENV) $(BENCH_VENV) .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find minigpt rlhf tests tutorials -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- The environment -----------------------------------------------------------------------------------------------

$(ENVIRONMENT): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed, and $(PYTHON) is "\
	  + sys.version.split()[0] + "; name another one with PYTHON=" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(ENVIRONMENT_DEV): requirements-dev.txt $(ENVIRONMENT)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# An environment of its own: TRL wants other versions than we do.
$(BENCH_VENV)/installed: requirements-bench.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@
