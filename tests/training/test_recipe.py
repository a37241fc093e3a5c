import inspect
from pathlib import Path

import pytest
from conftest import RECIPES

from spcnet.errors import UserError
from spcnet.models.network import PoseNetwork
from spcnet.models.variants import variant_names
from spcnet.training.recipe import (
    MoreData,
    NetworkArguments,
    Recipe,
    differences,
    load_recipe,
)

ALL = sorted(RECIPES.glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_named_after_its_file(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.model.variant in variant_names()


@pytest.mark.parametrize("data", ["lspet", "lsp", "mpii", "flic"])
def test_the_papers_recipe_is_the_papers(data: str) -> None:
    recipe = load_recipe(RECIPES / f"{data}_paper.yaml")
    named = {"rotation", "rotation_probability", "scale", "flip_probability"}
    others = {n: v for n, v in recipe.augmentation.model_dump().items() if n not in named}
    assert not any(others.values()), others
    assert recipe.data.side == 352
    assert recipe.model.variant == "spcnet_s8_w256"
    assert recipe.model.input_size == 256
    assert recipe.loss.kind == "gaussian"
    assert recipe.optimizer.name == "rmsprop"
    assert (recipe.optimizer.lr, recipe.optimizer.milestones) == (1e-3, [120, 150])
    assert recipe.training.epochs == 170
    assert (recipe.augmentation.rotation, recipe.augmentation.scale) == (60, 0.25)
    assert recipe.augmentation.flip_probability == 0.5
    assert recipe.loss.sigma == 1


def test_overrides_are_yaml_and_reach_any_field() -> None:
    recipe = load_recipe(
        RECIPES / "lspet_cpu.yaml",
        ["optimizer.lr=5e-4", "data.root=/data set/lspet", "optimizer.milestones=[1, 2]", "seed=7"],
    )
    assert recipe.optimizer.lr == 5e-4
    assert recipe.data.root == "/data set/lspet"
    assert recipe.optimizer.milestones == [1, 2]
    assert recipe.seed == 7


def test_overrides_reach_into_lists() -> None:
    recipe = load_recipe(
        RECIPES / "lsp_paper.yaml",
        ["data.root=A", "data.more.0.root=B", "data.more.1.root=C", "optimizer.milestones.1=9"],
    )
    parts = [(part.dataset, part.root, part.split) for part in recipe.data.parts]
    assert parts == [("lsp", "A", "train"), ("lspet", "B", "all"), ("mpii", "C", "train")]
    assert recipe.optimizer.milestones == [120, 9]
    for place in ("2", "first"):
        with pytest.raises(UserError, match=f"'{place}' is no place in a list of 2"):
            load_recipe(RECIPES / "lsp_paper.yaml", [f"data.more.{place}.root=D"])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optimizer.lrr=1", "unknown field 'optimizer.lrr'; did you mean 'lr'"),
        ("optimiser.lr=1", "unknown field 'optimiser'; did you mean 'optimizer'"),
        ("optimizer.lr=fast", "optimizer.lr: .*number.*'fast'"),
        ("optimizer.lr=-1", "optimizer.lr: .*greater than 0.*-1"),
        ("optimizer.name=sgd", "optimizer.name: .*'rmsprop', 'adamw' or 'muon'.*'sgd'"),
        ("optimizer.lr", "field=value"),
        ("name.x=1", "'name' is a value"),
        ("data.more=[{dataset: mpii, splt: val}]", r"'data\.more\.0\.splt'; did you mean 'split'"),
        ("data.more=[{dataset: mpi}]", "data.more.0.dataset: .*'mpi'"),
        ("data.more.0.root=x", r"data\.more: the recipe has no such list"),
        ("training.batch_size=true", r"training\.batch_size: neither true nor false .*true"),
        ("optimizer.lr=yes", r"optimizer\.lr: neither true nor false"),
        ("training.ema=false", r"training\.ema: neither true nor false"),
        ("training.keep_best=7", r"training\.keep_best: must be true or false, got 7"),
        ("optimizer=adamw", r"optimizer: a section with name, lr, .* such as optimizer\.name"),
        ("model.arguments.chanels=32", r"'model\.arguments\.chanels'; did you mean 'channels'"),
        (
            "model.arguments.channels=wide",
            r"model\.arguments\.channels: must be a whole number, got 'wide'",
        ),
        (
            "model.arguments.stacks=true",
            r"model\.arguments\.stacks: must be a whole number, got true",
        ),
        ("model.arguments.stacks=0", r"model\.arguments\.stacks: must be at least 1, got 0"),
        (
            "model.arguments.module=dilatd",
            "module: .*'dilatd'; did you mean 'dilated'",
        ),
        ("loss.astray=0.1", "loss: `astray` and `swapped` need a likelihood"),
        ("name=../elsewhere", "name: should name one folder"),
        ("data.skeleton=body20", "data.skeleton: .*'body20'.*there are lsp14, .* body19"),
        ("data.share=0", "data.share: .*greater than 0"),
        ("data.share=1.5", "data.share: must be at most 1, got 1.5"),
        ("data.doubt=1", "data.doubt: .*less than 1"),
        ("model.squeeze=half", "model.squeeze: .*'zero' or 'literal'"),
        (
            "data.more=[{dataset: unlabelled, holdout: 1-3}]",
            "holdout: 'unlabelled' has no joints to be scored by; leave it out",
        ),
        ("data.more=[{dataset: nobody, holdout: val}]", "holdout: 'nobody' has no joints"),
    ],
)
def test_a_wrong_field_names_itself_and_what_is_accepted(override: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_recipe(RECIPES / "mpii_paper.yaml", [override])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "mapping"),
        ("a: [", "YAML"),
        ("seed: 1", "name: is missing"),
        ("name: a\nseed: 1\nseed: 2", "'seed' stands twice.*line 3"),
        ("name: a\ncompile: !!bool maybe", "not a YAML file: 'maybe'"),
        ("name: a\nscale: !!float ''", "not a YAML file: string index"),
        ("name: " + 2000 * "[" + 2000 * "]", "brackets nested more than 50 deep"),
        ("name: a\n" + 1_000_000 * "#", "more than 1,000,000 bytes"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_recipe(write(tmp_path, text))
    with pytest.raises(UserError, match="cannot be read"):
        load_recipe(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("dataset", "root", "title"),
    [
        ("coco", "/data/studio", "studio"),
        ("coco", "/data/studio/", "studio"),
        ("coco", "/data/studio v1.5", "studio v1.5"),
        ("coco", "own/my people.json", "my people"),
        ("coco", "own/people.json.gz", "people"),
        ("coco", ".", "coco"),
        ("coco", None, "coco"),
        ("lspet", "/data/studio", "lspet"),
        ("nobody", "/data/boxes", "nobody"),
    ],
)
def test_a_source_is_called_by_its_data_set_or_by_the_folder_of_own_data(
    dataset: str, root: str | None, title: str
) -> None:
    assert MoreData(dataset=dataset, root=root).title == title  # type: ignore[arg-type]


def test_the_first_data_set_is_a_source_as_the_others_are() -> None:
    recipe = load_recipe(
        RECIPES / "people_cpu.yaml", ["data.opinions=o.json", "data.more.0.opinions=p.json"]
    )
    first, second, *others = recipe.data.parts
    assert (first.dataset, first.split, first.holdout) == ("lspet", "1-7760", "7761-8060")
    assert (first.share, first.doubt, first.opinions) == (0.36, 0.1, "o.json")
    assert (second.title, second.holdout, second.opinions) == ("mpii", "val", "p.json")
    assert sum(part.share or 0 for part in recipe.data.parts) == pytest.approx(1)
    assert recipe.data.believes_opinions
    assert not load_recipe(RECIPES / "people_cpu.yaml").data.believes_opinions
    # Where files lie does not make another run; what is believed of them does.
    moved = load_recipe(RECIPES / "people_cpu.yaml", ["data.opinions=elsewhere.json"])
    assert moved.identity() == load_recipe(RECIPES / "people_cpu.yaml").identity()
    doubted = load_recipe(RECIPES / "people_cpu.yaml", ["data.more.1.doubt=0.3"])
    assert doubted.identity() != moved.identity()
    assert others[-1].title == "nobody"


def test_a_network_takes_what_a_recipe_may_change_of_it() -> None:
    parameters = inspect.signature(PoseNetwork).parameters
    assert set(NetworkArguments.__annotations__) == set(parameters) - {"num_joints"}


def test_two_recipes_differ_in_words() -> None:
    one = {"seed": 1, "optimizer": {"lr": 1.0, "name": "muon"}, "model": {"arguments": {}}}
    other = {"seed": 1, "optimizer": {"lr": 2.0, "name": "muon"}, "model": {"arguments": {"a": 3}}}
    assert differences(one, one) == ""
    assert differences(one, other) == (
        "optimizer.lr is 1.0 there and 2.0 here, model.arguments.a is null there and 3 here"
    )


def test_a_dumped_recipe_reads_back() -> None:
    recipe = load_recipe(RECIPES / "lspet_cpu.yaml")
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_every_field_is_documented() -> None:
    import importlib.util
    from pathlib import Path

    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("document", root / "tools/document_recipes.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (root / "docs" / "training.md").read_text()
    assert tool.document() in text  # python tools/document_recipes.py docs/training.md
    for section in [Recipe, *(field.annotation for field in Recipe.model_fields.values())]:
        for name, field in getattr(section, "model_fields", {}).items():
            assert field.description or hasattr(field.annotation, "model_fields"), name
