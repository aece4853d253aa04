"""Header fields and other name-value lists with the interface that score scripts know from Flask."""


class Headers:
    """Header fields in order; names in any case, repeated names allowed.

    As in Flask, iterating gives pairs, not names.
    """

    def __init__(self, pairs=()):
        self._pairs = []
        self.extend(pairs)

    def __getitem__(self, name):
        wanted = name.lower()
        for known, value in self._pairs:
            if known.lower() == wanted:
                return value
        raise KeyError(name)

    def __setitem__(self, name, value):
        wanted = name.lower()
        for index, (known, _) in enumerate(self._pairs):
            if known.lower() == wanted:
                rest = [pair for pair in self._pairs[index + 1 :] if pair[0].lower() != wanted]
                self._pairs[index:] = [(name, str(value)), *rest]
                return
        self._pairs.append((name, str(value)))

    def __delitem__(self, name):
        wanted = name.lower()
        self._pairs[:] = [pair for pair in self._pairs if pair[0].lower() != wanted]

    def __iter__(self):
        return iter(self._pairs)

    def __len__(self):
        return len(self._pairs)

    def __contains__(self, name):
        return isinstance(name, str) and any(known.lower() == name.lower() for known, _ in self._pairs)

    def __repr__(self):
        return f"{type(self).__name__}({self._pairs!r})"

    def get(self, name, default=None, type=None):
        return _converted(self, name, default, type)

    def keys(self):
        return [name for name, _ in self._pairs]

    def values(self):
        return [value for _, value in self._pairs]

    def items(self):
        return list(self._pairs)

    def getlist(self, name):
        return [value for known, value in self._pairs if known.lower() == name.lower()]

    get_all = getlist

    def add(self, name, value, **parameters):
        """Adds a field; further arguments become its parameters: ``add("Content-Disposition", "attachment", filename="x")``."""
        more = "".join(f'; {key.replace("_", "-")}="{text}"' for key, text in parameters.items())
        self._pairs.append((name, f"{value}{more}"))

    add_header = add

    def setdefault(self, name, default):
        if name not in self:
            self.add(name, default)
        return self[name]

    def pop(self, name, *default):
        if default and name not in self:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def clear(self):
        self._pairs.clear()

    def set(self, name, value, **parameters):
        del self[name]
        self.add(name, value, **parameters)

    def remove(self, name):
        del self[name]

    def extend(self, pairs):
        for name, value in pairs.items() if hasattr(pairs, "items") else pairs:
            for one in value if isinstance(value, (list, tuple)) else (value,):
                self.add(name, one)

    def update(self, pairs=(), **more):
        for name, value in [*(pairs.items() if hasattr(pairs, "items") else pairs), *more.items()]:
            self[name] = value

    def copy(self):
        return type(self)(self._pairs)


class MultiDict(dict):
    """A dictionary whose names may have several values; indexing gives the first."""

    def __init__(self, pairs=()):
        super().__init__()
        for name, value in pairs:
            super().setdefault(name, []).append(value)

    def __getitem__(self, name):
        return super().__getitem__(name)[0]

    def __repr__(self):
        return f"{type(self).__name__}({list(self.items(multi=True))!r})"

    def get(self, name, default=None, type=None):
        return _converted(self, name, default, type)

    def getlist(self, name, type=None):
        found = super().get(name, [])
        return list(found) if type is None else [type(value) for value in found]

    def items(self, multi=False):
        for name in self:
            found = super().__getitem__(name)
            for value in found if multi else found[:1]:
                yield name, value

    def values(self):
        return [value for _, value in self.items()]

    def lists(self):
        return [(name, self.getlist(name)) for name in self]

    def listvalues(self):
        return [self.getlist(name) for name in self]

    def to_dict(self, flat=True):
        return dict(self.items()) if flat else dict(self.lists())

    def copy(self):
        return type(self)(self.items(multi=True))


def _converted(mapping, name, default, convert):
    """The value of a name, converted; the default when it is absent or cannot be converted."""
    try:
        value = mapping[name]
        return value if convert is None else convert(value)
    except (KeyError, ValueError, TypeError):
        return default
