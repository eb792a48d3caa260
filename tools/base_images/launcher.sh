#!/bin/sh
# What Google's launcher does with its arguments, which are the parameters of the template and options of Beam.
exec python "$FLEX_TEMPLATE_PYTHON_PY_FILE" "$@"
