"""The chaos machine: calls on a whole stack while a seeded plan of faults breaks it.

Reading order: `plan` (what happens when, from a seed alone), `faults` (what can be injected),
`links` and `nemesis` (how it is injected), `callers` (who calls meanwhile), `run` (all of it
together), `checker` (what must hold afterwards), `report` (the table).
"""
