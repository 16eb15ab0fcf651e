from hypothesis import settings

# A busy machine makes no example slow enough to matter.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
