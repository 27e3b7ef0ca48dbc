-- One row per programme and trimmed outcome with fully observed assessments before any authority's embedding: the fence
-- beyond which durations are left out, the third quartile plus so many interquartile ranges, fixed once from those
-- assessments (definitions, section 5).

with
durations as (

    select * from {{ ref('int_assessment_durations') }}
    where is_trimmed and is_fully_observed

),

sites as (

    select * from {{ ref('sites') }}

),

fence_rule as (

    select parameter_value as duration_fence_iqr_multiple
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'duration_fence_iqr_multiple'

),

first_embedding as (

    select
        programme,
        min(coalesce(embedding_start, go_live_date)) as embedding_from
    from sites
    group by programme

),

quartiles as (

    select
        durations.programme,
        durations.outcome,
        count(*) as n_assessments,
        percentile_cont(0.25) within group (order by durations.n_working_days) as first_quartile,
        percentile_cont(0.75) within group (order by durations.n_working_days) as third_quartile
    from durations
    inner join first_embedding on durations.programme = first_embedding.programme
    where durations.index_date < first_embedding.embedding_from
    group by durations.programme, durations.outcome

),

final as (

    select
        quartiles.programme,
        quartiles.outcome,
        cast(quartiles.n_assessments as bigint) as n_assessments,
        quartiles.first_quartile,
        quartiles.third_quartile,
        quartiles.third_quartile
        + fence_rule.duration_fence_iqr_multiple * (quartiles.third_quartile - quartiles.first_quartile)
            as duration_fence
    from quartiles
    cross join fence_rule

)

select * from final
