-- Roles and schema, before the first migration. Safe to repeat, and to run in several databases
-- of one server at once (roles belong to the server).
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['pocwhisp_owner', 'pocwhisp_app', 'pocwhisp_system'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE 'CREATE ROLE ' || quote_ident(wanted) || ' NOLOGIN';
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- somebody else was faster
        END;
        IF NOT pg_has_role(current_user, wanted, 'SET') THEN
            EXECUTE 'GRANT ' || quote_ident(wanted) || ' TO ' || quote_ident(current_user);
        END IF;
    END LOOP;
END
$$;
CREATE SCHEMA IF NOT EXISTS pocwhisp AUTHORIZATION pocwhisp_owner;
GRANT USAGE ON SCHEMA pocwhisp TO pocwhisp_app, pocwhisp_system;
