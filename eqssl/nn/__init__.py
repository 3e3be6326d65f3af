"""Equivariant layers on group-major feature maps: channel = element * fields + field, channels_last.

escnn defines every filter; the layers that run are plain torch (see `eqssl.nn.filters`).
"""
