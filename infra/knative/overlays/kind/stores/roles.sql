-- Run once, when the database is made. Each login is a member of what it needs and of no more.
CREATE ROLE pocwhisp_owner NOLOGIN;
CREATE ROLE pocwhisp_app NOLOGIN;
CREATE ROLE pocwhisp_system NOLOGIN;
CREATE ROLE pocwhisp_migrate LOGIN PASSWORD 'kind-only'
    IN ROLE pocwhisp_owner, pocwhisp_app, pocwhisp_system;
CREATE ROLE pocwhisp_functions LOGIN PASSWORD 'kind-only' IN ROLE pocwhisp_app;
CREATE ROLE pocwhisp_sweep LOGIN PASSWORD 'kind-only' IN ROLE pocwhisp_system;
GRANT CREATE ON DATABASE pocwhisp TO pocwhisp_migrate;
