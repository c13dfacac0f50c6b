#!/bin/sh
# Remove from a virtual environment what no program imports. usage: slim.sh VENV
#
# Only the test suites of packages known to work without them: others import from theirs.
set -eu
cd "$1"/lib/python3.*/site-packages
for package in dask distributed numpy pandas pyarrow; do
  find "$package" -depth -type d -name tests -exec rm -rf {} +
done
# Debian's venv puts it there for Python 3.11; newer Pythons do without.
if [ -d setuptools ]; then ../../../bin/pip uninstall --quiet --yes --root-user-action=ignore setuptools; fi
