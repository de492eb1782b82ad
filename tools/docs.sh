#!/usr/bin/env bash
# Build the API reference into output/docs: the docstrings, the READMEs beside the code and the help of the commands.
# It is built strictly: a broken link, or a public name that is not in it, ends it.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_into .docs "docs-$(sha256sum tools/docs/requirements.txt | cut -c1-8)" -r tools/docs/requirements.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" tools/docs/pages.py "$work"
.docs/bin/python -m mkdocs build --strict --config-file "$work/mkdocs.yml" --site-dir "$work/site"
.docs/bin/python - "$work" <<'PYTHON'
import sys
import zlib
from pathlib import Path

work = Path(sys.argv[1])
asked = {line[4:] for page in work.glob("docs/reference/*.md") for line in page.read_text().splitlines() if line.startswith("::: ")}
packed = (work / "site" / "objects.inv").read_bytes().split(b"\n", 4)[4]
found = {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}
if not asked or asked - found:
    sys.exit(f"not in the reference: {', '.join(sorted(asked - found)) or 'anything'}")
print(f"{len(asked)} public names on {len(list(work.glob('docs/**/*.md')))} pages")
PYTHON
mkdir -p output
rm -rf output/docs
mv "$work/site" output/docs
echo "output/docs/index.html"
