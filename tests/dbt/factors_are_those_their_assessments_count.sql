-- The factors that assessments count are the rows of factors, no more and no fewer (definitions, section 3).

with
counted as (

    select coalesce(sum(n_factors), 0) as n_factors
    from {{ ref('int_assessment_spells') }}

),

rows_made as (

    select count(*) as n_rows
    from {{ ref('int_assessment_factors') }}

)

select
    counted.n_factors,
    rows_made.n_rows
from counted
cross join rows_made
where counted.n_factors <> rows_made.n_rows
