#!/bin/sh
# A step of the images' builds: writes the bill of materials of /opt/venv and the root below $1 to /sbom/image.cdx.json.
# /build/sbom.txt locks the tool, which stays in the stage that runs this; $2 and $3 are the image's name and version.
set -eu

python -m venv --without-pip /opt/sbom
pip --disable-pip-version-check --no-cache-dir --python /opt/sbom/bin/python install \
    --quiet --require-hashes --only-binary :all: --requirement /build/sbom.txt
mkdir /sbom
/opt/sbom/bin/cyclonedx-py environment --output-reproducible --sv 1.6 /opt/venv >/sbom/python.json
python /build/write_sbom.py --root "$1" --name "$2" --version "$3" </sbom/python.json >/sbom/image.cdx.json
