"""SampleCNN (Lee et al. 2017), the 3^9 model, as in the authors' Keras code (jongpillee/sampleCNN)."""

from __future__ import annotations

from accelsim.network.graph import Network
from workloads.blocks import activation, convolution, dense, flatten, normalised, pool, unit
from workloads.draft import Draft, Shape

#: Output channels of the convolutions of kernel 3; a maximum over 3 follows each but the first.
CHANNELS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512)
TAGS = 50
UNPADDED = ((0, 0),)


def build(name: str, input_shape: Shape = None) -> Network:
    """SampleCNN for 50 tags on 59,049 = 3^10 samples of one channel.

    The classifier reads every position that is left, so its weights grow with lengths from 2 * 59,049.
    """
    draft = Draft(name, epsilon=1e-3)
    waveform = draft.offer("waveform", input_shape, (1, 59_049))
    x = convolution(draft, "conv1", waveform, CHANNELS[0], 3, 3, bias=True, padding=UNPADDED)
    x = normalised(draft, x, "relu")
    for position, channels in enumerate(CHANNELS[1:], 2):
        x = unit(draft, f"conv{position}", x, channels, 3, function="relu", bias=True)
        x = pool(draft, f"conv{position}.pool", x, 3, 3, UNPADDED)
    x = unit(draft, "conv11", x, 512, function="relu", bias=True)
    x = dense(draft, "classifier", flatten(draft, "flatten", x, channels_first=False), TAGS)
    return draft.finished(activation(draft, "classifier.sigmoid", x, "sigmoid"))
