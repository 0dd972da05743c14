"""What each layer of a StyleGAN3 is designed to do: sizes, sampling rates, filters."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lefs.checks import check_integer, check_number
from lefs.models.alias_free import crops, lowpass_filter

__all__ = ["LARGEST", "FourierPlan", "LayerPlan"]

LARGEST = 2**14  # side of an image or a map


@dataclass(frozen=True)
class FourierPlan:
    """The input's sine waves.

    Attributes
    ----------
    channels : int
        Number of waves.
    size : int
        Side of the maps, in pixels, margins included.
    sampling_rate : float
        Pixels per image side.
    bandwidth : float
        Highest frequency, in cycles per image side.
    """

    channels: int
    size: int
    sampling_rate: float
    bandwidth: float

    def __post_init__(self) -> None:
        check_integer("input.channels", self.channels, minimum=1, maximum=LARGEST)
        check_integer("input.size", self.size, minimum=1, maximum=LARGEST)
        check_number("input.bandwidth", self.bandwidth, minimum=1e-9)
        if check_number("input.sampling_rate", self.sampling_rate) <= 2 * self.bandwidth:
            raise ValueError(
                f"input.sampling_rate must be more than twice the bandwidth {self.bandwidth:g}, "
                f"got {self.sampling_rate:g}"
            )


@dataclass(frozen=True)
class LayerPlan:
    """One layer: a convolution at the input's sampling rate, then the filtered nonlinearity.

    Attributes
    ----------
    name : str
        As published, for example ``"L0_36_512"``.
    rgb : bool
        Whether it is the last, which makes colors.
    inputs, outputs : int
        Numbers of channels.
    in_size, out_size : int
        Sides of the maps, in pixels, margins included.
    in_rate, out_rate : float
        Sampling rates s, in pixels per image side.
    in_cutoff, out_cutoff : float
        Cutoff frequencies f_c, in cycles per image side.
    in_half_width, out_half_width : float
        Half-widths f_h of the filters' transition bands, in cycles per image side.
    kernel : int
        Side of the convolution's kernel.
    up, down : int
        Factors between the rates and that of the nonlinearity.
    up_taps, down_taps : int
        Lengths of the filters, 1 for none.
    radial : bool
        Whether the second filter is round.
    padding : tuple of two int
        Zeros before and after each axis, at the rate of the nonlinearity; negative numbers crop.
    clamp : float, optional
        Bound of the nonlinearity, None for none.
    """

    name: str
    rgb: bool
    inputs: int
    outputs: int
    in_size: int
    out_size: int
    in_rate: float
    out_rate: float
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    kernel: int
    up: int
    down: int
    up_taps: int
    down_taps: int
    radial: bool
    padding: tuple[int, int]
    clamp: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", tuple(self.padding))
        for name in _WHOLE:
            check_integer(f"{self.name}.{name}", getattr(self, name), minimum=1, maximum=LARGEST)
        for name in _REAL:
            check_number(f"{self.name}.{name}", getattr(self, name), minimum=1e-9)
        if self.clamp is not None:
            check_number(f"{self.name}.clamp", self.clamp, minimum=0)
        if len(self.padding) != 2 or self._size_of_result() != self.out_size:
            raise ValueError(
                f"{self.name}: a map of {self.in_size} with padding {self.padding} does not become the "
                f"{self.out_size} that out_size says"
            )
        if (self.up_taps == 1 < self.up) or (self.down_taps == 1 < self.down):
            raise ValueError(f"{self.name}: changes the sampling rate without a filter")
        if self.up_taps > 1 and min(crops(self.up_taps, self.up, self.padding)) < 0:
            raise ValueError(f"{self.name}: its padding {self.padding} is more than its filter reaches")

    def _size_of_result(self) -> int:
        fine = (self.in_size + self.kernel - 1) * self.up + sum(self.padding) - self.up_taps + 1
        return (fine - self.down_taps) // self.down + 1

    @property
    def margin(self) -> int:
        """Pixels of the input on each side that lie outside the picture."""
        return max(0, round(self.in_size - self.in_rate) // 2)

    def up_filter(self) -> Tensor | None:
        """What fills in between the samples: (up_taps,), or None."""
        if self.up_taps == 1:
            return None
        return lowpass_filter(
            self.up_taps, cutoff=self.in_cutoff, width=2 * self.in_half_width, rate=self.in_rate * self.up
        )

    def down_filter(self) -> Tensor | None:
        """What removes too high frequencies: (down_taps,) or, if radial, (down_taps, down_taps); or None."""
        if self.down_taps == 1:
            return None
        return lowpass_filter(
            self.down_taps,
            cutoff=self.out_cutoff,
            width=2 * self.out_half_width,
            rate=self.in_rate * self.up,
            radial=self.radial,
        )


_WHOLE = ("inputs", "outputs", "in_size", "out_size", "kernel", "up", "down", "up_taps", "down_taps")
_REAL = ("in_rate", "out_rate", "in_cutoff", "out_cutoff", "in_half_width", "out_half_width")
