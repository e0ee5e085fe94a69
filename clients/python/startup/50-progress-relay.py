# IPython runs this file when a kernel starts. It does nothing unless RELAY_URL is set. It binds no
# name, since a name would appear among the student's variables.
try:
    __import__("progress_relay").autoload()
except ImportError:
    # The package has been removed, and this file has not: a kernel starts all the same.
    pass
