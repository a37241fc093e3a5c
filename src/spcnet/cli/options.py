"""Options that several commands have."""

import typer

MODEL = typer.Option(help="A model with weights, or a .safetensors.")
DATASET = typer.Option(help="mpii, lsp, lspet, flic, coco (or own data so) or synthetic.")
ROOT = typer.Option(help="Folder of the data set.")
FLIP = typer.Option("--flip", help="Average with the mirror image: better, half as fast.")
SMOOTH = typer.Option("--smooth", help="Keep the joints from trembling (one-euro filter).")
DEVICE = typer.Option(help="auto, cpu, cuda, cuda:1, ...")
