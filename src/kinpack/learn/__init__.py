"""Learning: pictures to a codec file, with torch; may import its rooms, the codec and below."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinpack.learn import lite as lite
    from kinpack.learn.freezing.describer_file import FreezingError as FreezingError
    from kinpack.learn.freezing.describer_file import freeze_describer as freeze_describer
    from kinpack.learn.freezing.describer_file import freezing_error as freezing_error
    from kinpack.learn.gains import Gains as Gains
    from kinpack.learn.gains import measure_gains as measure_gains
    from kinpack.learn.lattice.config import LatticeConfig as LatticeConfig
    from kinpack.learn.learning import FROM_A_START as FROM_A_START
    from kinpack.learn.learning import Learned as Learned
    from kinpack.learn.learning import learn_codec as learn_codec
    from kinpack.learn.models.config import NetworkConfig as NetworkConfig
    from kinpack.learn.models.config import TrainingConfig as TrainingConfig
    from kinpack.learn.training.start_file import Start as Start
    from kinpack.learn.training.start_file import shipped_start as shipped_start
else:
    from kinpack.lazy_names import lazy_names

    __all__, __getattr__, __dir__ = lazy_names(
        "kinpack.learn",
        {
            "freezing.describer_file": "FreezingError freeze_describer freezing_error",
            "gains": "Gains measure_gains",
            "lattice.config": "LatticeConfig",
            "learning": "FROM_A_START Learned learn_codec",
            "models.config": "NetworkConfig TrainingConfig",
            "training.start_file": "Start shipped_start",
        },
        rooms=("lite",),
        extra="learn",
    )
