"""``spcnet data``: stores of persons, ready for training."""

from pathlib import Path
from typing import Annotated

import typer

from spcnet.cli.console import progress

app = typer.Typer(help="Pack data sets for training.", no_args_is_help=True)


@app.command("pack")
def pack(
    dataset: Annotated[str, typer.Argument(help="lspet or synthetic.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the store.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    split: Annotated[str, typer.Option(help="A split, or image numbers such as 1-500.")] = "train",
    side: Annotated[int, typer.Option(min=32, help="Largest side of a person's crop.")] = 256,
) -> None:
    """Cut every person out with a margin and write a store that travels.

    Training packs by itself, into the cache; this writes a store to keep or to carry to another
    machine, where a recipe takes it by data.dataset=store data.train=FOLDER.

    Example: spcnet data pack lspet --root PATH/lspet --split train -o lspet-train
    """
    from spcnet.data.datasets import open_dataset
    from spcnet.data.packing import pack as write_store
    from spcnet.data.store import PackedStore

    opened = open_dataset(dataset, root, split)
    with progress(f"packing {dataset} {split}", len(opened)) as report:
        write_store(opened, output, side=side, report=report)
    store = PackedStore(output)
    size = sum(shard["bytes"] for shard in store.header["shards"])
    shards = len(store.header["shards"])
    print(f"{output}: {len(store)} persons, {size / 1e6:.1f} MB in {shards} shards")


@app.command("synth")
def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the pictures.")],
    count: Annotated[int, typer.Option(min=1, help="How many figures.")] = 16,
    first: Annotated[int, typer.Option(min=1, help="Number of the first figure.")] = 1,
    size: Annotated[int, typer.Option(min=32, help="Side of the pictures.")] = 160,
) -> None:
    """Draw synthetic figures as PNG files with a COCO keypoint file.

    Example: spcnet data synth -o figures --count 16
    """
    import json

    from PIL import Image

    from spcnet.data.synthetic import render_figure
    from spcnet.errors import UserError
    from spcnet.skeletons import LSP14

    if output.exists():
        raise UserError(f"{output}: already exists; name a new folder")
    images, annotations = [], []
    try:
        output.mkdir(parents=True)
        for number in range(first, first + count):
            figure = render_figure(number, size=size)
            name = f"figure{number:06d}.png"
            Image.fromarray(figure.image).save(output / name)
            images.append({"id": number, "file_name": name, "width": size, "height": size})
            low, high = figure.points.min(axis=0), figure.points.max(axis=0)
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": [
                        value
                        for (x, y), state in zip(figure.points, figure.states, strict=True)
                        for value in (round(float(x), 2), round(float(y), 2), int(state))
                    ],
                    "num_keypoints": len(LSP14),
                    "bbox": [round(float(value), 2) for value in (*low, *(high - low))],
                    "area": round(float((high - low).prod()), 2),
                    "iscrowd": 0,
                }
            )
        document = {
            "images": images,
            "annotations": annotations,
            "categories": [LSP14.to_coco_category()],
        }
        (output / "annotations.json").write_text(json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}") from None
    print(f"{output}: {count} figures and annotations.json")
