-- One row per programme, kind of index event, authority, quarter and covariate of the authority (definitions, section
-- 6).

with
la_quarter_covariates as (

    select * from {{ ref('int_la_covariate_series') }}

),

final as (

    select * from la_quarter_covariates

)

select * from final
