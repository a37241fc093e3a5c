from typer.main import get_command

from spcnet.cli.main import app


def test_force_says_the_same_in_every_command() -> None:
    waiting, said = [get_command(app)], {}
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for option in command.params:
            if "--force" in option.opts:
                said[command.name] = option.help
    assert {"predict", "video", "webcam", "export", "card"} <= said.keys()
    assert len(set(said.values())) == 1
