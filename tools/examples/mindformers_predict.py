"""A prediction from a YAML file, as MindFormers' run_mindformer.py does it, for installations that have no such script.

python tools/examples/mindformers_predict.py --config FILE.yaml --register_path FOLDER --predict_data "..."
"""

import argparse
import os

import mindcold.mindformers  # noqa: F401 - before MindFormers: keeps its logs out of the folder


def main() -> None:
    """Set up MindFormers from the file and predict."""
    parser = argparse.ArgumentParser(description="Predict from a YAML file of MindFormers.")
    parser.add_argument("--config", required=True)
    parser.add_argument("--register_path", help="folder of plug-ins")
    parser.add_argument("--predict_data", required=True)
    args = parser.parse_args()
    if args.register_path:
        os.environ["REGISTER_PATH"] = args.register_path

    from mindformers import MindFormerConfig, Trainer, build_context

    config = MindFormerConfig(args.config)
    build_context(config)
    Trainer(config).predict(predict_checkpoint=config.load_checkpoint, input_data=args.predict_data)


if __name__ == "__main__":
    main()
