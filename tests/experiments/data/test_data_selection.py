"""Parts of a streamed data set: what is held out is trained on by no one, and evaluated on once."""

import jax
import numpy as np
import pytest
from tiny_data import Prepared, image_features, labelled_images, prepare

from experiments.config import MLP, Data, Execution, TrainConfig
from experiments.data import Selection, describe_stream, evaluation_stream, train_stream
from experiments.experiment import set_up
from experiments.images import open_images
from experiments.sharded import Sharded


def trained_on(data: Prepared, name: str, selection: Selection, count: int) -> list[int]:
    """Labels of the first `count` examples; in this data a label is the number of its example."""
    stream = train_stream(
        name,
        batch_size=count,
        image_size=4,
        seed=0,
        data_dir=data.data_dir,
        selection=selection,
    )
    return sorted(next(iter(stream)).labels.tolist())


def evaluated_on(data: Prepared, name: str, selection: Selection) -> list[int]:
    """Labels of all that is evaluated on, with repetitions, without padding."""
    stream = evaluation_stream(
        name, batch_size=4, image_size=4, data_dir=data.data_dir, selection=selection
    )
    labels = np.concatenate([batch.labels for batch in stream])
    return sorted(labels[labels >= 0].tolist())


def test_held_out_and_trained_on_are_all_examples_and_have_none_in_common(
    tiny_photographs: Prepared,
) -> None:
    selection = Selection(validation=0.25)  # 12.5 of 50 examples, rounded to even
    train = trained_on(tiny_photographs, "tiny_photographs", selection, 38)
    held_out = evaluated_on(tiny_photographs, "tiny_photographs", selection)
    assert len(held_out) == 12
    assert sorted(train + held_out) == list(range(50))
    info = describe_stream("tiny_photographs", 4, tiny_photographs.data_dir, selection)
    assert (info.train_size, info.test_size) == (38, 12)


def test_fewer_examples_are_a_part_of_those_not_held_out(tiny_photographs: Prepared) -> None:
    few = Selection(validation=0.2, train_examples=15)
    train = trained_on(tiny_photographs, "tiny_photographs", few, 30)
    assert all(train.count(label) == 2 for label in train)  # two epochs of 15 examples
    held_out = evaluated_on(tiny_photographs, "tiny_photographs", few)
    assert held_out == evaluated_on(tiny_photographs, "tiny_photographs", Selection(0.2))
    assert not set(train) & set(held_out)
    info = describe_stream("tiny_photographs", 4, tiny_photographs.data_dir, few)
    assert (info.train_size, info.test_size) == (15, 10)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(validation=1.0), r"must lie in \[0, 1\), got 1.0"),
        (Selection(validation=-0.1), r"must lie in \[0, 1\), got -0.1"),
        (Selection(validation=0.005), "0.005 of 50 examples leaves one part empty"),
        (Selection(validation=0.995), "0.995 of 50 examples leaves one part empty"),
        (Selection(train_examples=0), "must be 1 or more, got 0"),
    ],
)
def test_empty_parts_are_refused(
    selection: Selection, message: str, tiny_photographs: Prepared
) -> None:
    with pytest.raises(ValueError, match=message):
        describe_stream("tiny_photographs", 4, tiny_photographs.data_dir, selection)


def test_a_run_is_evaluated_on_what_it_holds_out(tiny_photographs: Prepared) -> None:
    data = Data(
        dataset="tiny_photographs", image_size=4, batch_size=8, validation=0.2, train_examples=33
    )
    config = TrainConfig(MLP(features=(4,)), data=data)
    execution = Execution(devices=1, data_dir=tiny_photographs.data_dir)
    experiment = set_up(config, execution)
    assert experiment.split == "validation"
    assert experiment.steps_per_epoch == 33 // 8
    batches = list(open_images(config, execution, Sharded(jax.devices()[:1])).held_out())
    labels = np.concatenate([np.asarray(batch.labels) for batch in batches])
    held_out = evaluated_on(tiny_photographs, "tiny_photographs", Selection(validation=0.2))
    assert sorted(labels[labels >= 0].tolist()) == held_out


def test_a_data_set_without_a_test_split_holds_out_of_what_it_trains_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    examples = {"train": labelled_images(40, lambda _: (6, 6, 1), seed=0)}
    directory = tmp_path_factory.mktemp("only_train")
    data = prepare(directory, "only_train", image_features((6, 6, 1), 40), examples)
    tested = evaluated_on(data, "only_train", Selection())
    held_out = evaluated_on(data, "only_train", Selection(validation=0.25))
    train = trained_on(data, "only_train", Selection(validation=0.25), 27)
    assert (len(tested), len(held_out)) == (4, 9)
    assert sorted(tested + held_out + train) == list(range(40))
