-- One row per programme, kind of index event, authority and quarter: the authority's covariates side by side
-- (definitions, section 6).

with
series as (

    select * from {{ ref('int_la_covariate_series') }}

),

final as (

    select
        programme,
        index_event,
        la_code,
        quarter_start,
        max(case when covariate = 'la_share_fsm' then value end) as la_share_fsm,
        max(case when covariate = 'la_share_white_british' then value end) as la_share_white_british,
        max(case when covariate = 'la_n_children' then value end) as la_n_children
    from series
    group by programme, index_event, la_code, quarter_start

)

select * from final
