"""
Every random choice about a portrait, taken before anything is drawn: seed → `portrait.Portrait`.

Lengths are in units of a canvas 256 wide, whatever the final resolution; on the head they are relative to its
middle. Angles are in degrees unless said otherwise.
"""
