# make          build/nibble
# make test     builds and runs every test
# make demo     fetches a small real model, quantizes it, measures it, asks it a question
# make check    all that CI runs, and more (scripts/check --help)
# make format   formats the sources
.PHONY: all test demo check format clean

all:
	@scripts/setup
	@echo "Building build/nibble"
	@scripts/build release nibble

test:
	@scripts/setup
	@echo "Building nibble and its tests"
	@scripts/build release all
	@echo "Running the tests"
	@scripts/test build

demo:
	@scripts/setup --demo
	@echo "Building build/nibble"
	@scripts/build release nibble
	@scripts/demo

check:
	@scripts/setup --dev
	@scripts/check

format:
	@scripts/format

clean:
	rm -rf build
