"""What holds for every suite."""

from hypothesis import HealthCheck, settings

# How long an example takes tells of the machine and who else is on it, not of the code: what is slow is found by benchmarks.
settings.register_profile("portcullis", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("portcullis")
