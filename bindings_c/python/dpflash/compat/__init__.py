"""Accountants with the interfaces of other libraries. Each module needs its library, and is imported by name:

`dpflash.compat.dp_accounting` (Google dp_accounting 0.6), `dpflash.compat.opacus` (Opacus 1.6).
"""
