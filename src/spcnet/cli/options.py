"""Options that several commands have."""

import typer

MODEL = typer.Option(help="A model with weights, or a .safetensors.")
DATASET = typer.Option(help="mpii, lsp, lspet, flic, coco (or own data so) or synthetic.")
ROOT = typer.Option(help="Folder of the data set.")
FLIP = typer.Option("--flip", help="Average with the mirror image: better, half as fast.")
DEVICE = typer.Option(help="auto, cpu, cuda, cuda:1, ...")
