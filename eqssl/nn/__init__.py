"""Equivariant layers on group-major feature maps: channel = element * fields + field, channels_last.

escnn defines every filter (see `eqssl.symmetry.filter_bases`); the layers that run are plain torch.
"""
