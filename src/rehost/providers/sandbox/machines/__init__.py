"""What is real behind the stand-ins' control planes: servers, load balancers and databases on addresses of
loopback.

A server is a folder whose units run as processes; `world` is what the control planes say, `reality` what makes it
so. Linux only: other systems have no addresses of 127.0.0.0/8 but one.
"""
