"""Placeholder."""


class GuardWatch:
    def __init__(self, *a, **k):
        pass

    async def look(self, armed):
        return None

    def describe(self):
        return []
