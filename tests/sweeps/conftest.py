import pytest


@pytest.fixture
def study():
    """Twelve designs of a network that simulates in milliseconds; the widest machines have more than it can use."""
    return {
        "network": "resnet18",
        "fixed": {"input_shape": [1, 3, 32, 32]},
        "axes": {
            "engine.multipliers": {"log": [8, 4096], "count": 3},
            "engine.lanes": [1, 64],
            "memories.sram.size": ["64 KiB", "1 MiB"],
        },
    }
