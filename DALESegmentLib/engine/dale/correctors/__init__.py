"""Label correctors: each proposes what to learn in place of a case's label. The label itself is never changed."""
