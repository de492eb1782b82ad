"""`python -m mindcold.mindformers` prints the folder for `run_mindformer.py --register_path`."""

from pathlib import Path

print(Path(__file__).with_name("plugin"))
