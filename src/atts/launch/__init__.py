"""Model servers of our own: what to start, starting and awaiting both, and leaving nothing behind.

settings.py  what a user may say of the two servers, checked
command.py   the command line and environment of a server
lifeline.py  a process that ends with the one that started it
guard.py     the process that stands over one server and ends it when nobody wants it any more
launcher.py  starts the guards, awaits health, stops
state.py     the folder: logs, the state file, and a lock that tells who is alive
keeper.py    the launcher in the background
"""
