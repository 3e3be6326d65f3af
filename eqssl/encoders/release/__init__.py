"""Encoders on disk and their released form: fold, save, load, export."""
